package certs_test

import (
	"fmt"

	"github.com/meshnode/meshnode/certs"
)

func Example() {
	ca, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	pair, err := ca.IssueNode("node-1", certs.DefaultValid)
	if err != nil {
		fmt.Println(err)
		return
	}
	cert, err := pair.Certificate()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(certs.Names(cert), "by", cert.Issuer.CommonName)
	// Output: [node-1] by meshnode development CA
}
