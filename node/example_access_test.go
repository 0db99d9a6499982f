package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/meshnode/meshnode/certs"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Reset and Report are what the example guards.
var (
	Reset  = rpc.NewMethod[struct{}, struct{}]("counter.Reset")
	Report = rpc.NewMethod[struct{}, struct{}]("counter.Report")
)

// access lets members report, and the client admin reset and make nodes leave. Everybody with a
// certificate may call the rest. It looks at the caller, which is the same whichever member has
// carried the call, and not at info.Peer.
func access(ctx context.Context, info *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
	may := true
	switch info.Method {
	case Report.Name():
		may = info.Caller.Member
	case Reset.Name(), node.Leave.Name():
		may = info.Caller.Name == "admin" && info.Caller.Verified && !info.Caller.Member
	}
	if !may {
		return nil, rpc.Errorf(rpc.PermissionDenied, "%s may not call %s", info.Caller, info.Method)
	}
	return next(ctx, req)
}

// An interceptor decides who may call what. It sees the caller that proved itself to the mesh,
// wherever the call has entered.
func Example_access() {
	ca, err := certs.NewAuthority(certs.AuthorityOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	start := func(name string, seeds ...string) *node.Node {
		n, err := node.New(node.Config{
			Name: name, Cluster: "example-access", Seeds: seeds, Expect: len(seeds) + 1, Profile: membership.Local,
			Table: router.Params{Partitions: 1 << 8}, GossipKey: []byte(strings.Repeat("k", 32)),
			TLS: certificate(ca.IssueNode(name, time.Hour))(ca), Server: []rpc.ServerInterceptor{access},
		})
		if err != nil {
			panic(err)
		}
		Reset.Handle(n, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
		Report.Handle(n, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
		if err := n.Start(ctx); err != nil {
			panic(err)
		}
		return n
	}
	a := start("node-a")
	defer a.Close()
	b := start("node-b", a.Addr().String())
	defer b.Close()

	say := func(who string, err error) { fmt.Println(who, rpc.CodeOf(err), err) }
	_, err = Report.Call(ctx, b, nil, rpc.Peer("node-a"))
	say("member:", err)
	for _, name := range []string{"admin", "guest"} {
		c, err := node.Dial(ctx, b.Addr().String(), node.ClientConfig{TLS: certificate(ca.IssueClient(name, time.Hour))(ca)})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = Reset.Call(ctx, c, nil, rpc.Peer("node-a")) // which node-b carries
		say(name+":", err)
		_, err = Report.Call(ctx, c, nil, rpc.Peer("node-a"))
		say(name+":", err)
		c.Close()
	}
	// Output:
	// member: OK <nil>
	// admin: OK <nil>
	// admin: PermissionDenied PermissionDenied: client admin may not call counter.Report
	// guest: PermissionDenied PermissionDenied: client guest may not call counter.Reset
	// guest: PermissionDenied PermissionDenied: client guest may not call counter.Report
}

// certificate makes the TLS of whoever holds a certificate of the authority.
func certificate(pair *certs.Pair, err error) func(ca *certs.Authority) *transport.TLS {
	return func(ca *certs.Authority) *transport.TLS {
		if err != nil {
			panic(err)
		}
		creds := &transport.Credentials{CAs: x509.NewCertPool()}
		creds.CAs.AppendCertsFromPEM(ca.Pair().Cert)
		if creds.Certificate, err = tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
			panic(err)
		}
		t, err := transport.NewTLS(transport.TLSConfig{Load: func() (*transport.Credentials, error) { return creds, nil }})
		if err != nil {
			panic(err)
		}
		return t
	}
}
