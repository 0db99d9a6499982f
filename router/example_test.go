package router_test

import (
	"fmt"

	"github.com/meshnode/meshnode/router"
)

func Example() {
	members := []router.Member{
		{Name: "a", Zone: "eu-1"},
		{Name: "b", Zone: "eu-1"},
		{Name: "c", Zone: "eu-2", Weight: 2},
	}
	old, err := router.New(members, router.Params{})
	if err != nil {
		fmt.Println(err)
		return
	}
	partition, owner := old.Lookup("user/5")
	fmt.Println("owner of user/5:", owner)
	fmt.Println("with one replica:", old.Owners(partition, 2, nil))

	// When c leaves, only partitions that it owned change hands, and few more.
	now, err := router.New(members[:2], router.Params{})
	if err != nil {
		fmt.Println(err)
		return
	}
	moves, err := now.Diff(old)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("all of c moved:", len(moves.Lost("c")) == len(old.Owned("c")))
	_, owner = now.Lookup("user/5")
	fmt.Println("owner of user/5:", owner)
	// Output:
	// owner of user/5: c
	// with one replica: [c b]
	// all of c moved: true
	// owner of user/5: b
}
