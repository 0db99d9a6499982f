// Command probe does one thing that a test of package exact looks at.
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"
)

func main() {
	switch os.Args[1] {
	case "chance":
		chance()
	case "clock":
		clock()
	case "echo":
		_, _ = io.Copy(os.Stdout, os.Stdin)
		_, _ = runtime.MemProfile(nil, false) // the rate is 0 in a program that can't get at the profile
		fmt.Fprintf(os.Stderr, "%q %s %d\n", os.Args[2:], os.Getenv("GOGC"), runtime.MemProfileRate)
	case "exit":
		os.Exit(3)
	case "panic":
		panic("planned")
	case "deadlock":
		select {}
	case "spin":
		for time.Now().Year() < 2050 {
			runtime.Gosched()
		}
	case "memory":
		var all [][]byte
		for {
			all = append(all, make([]byte, 1<<20))
		}
	}
}

// chance prints what differs from run to run in an ordinary program.
func chance() {
	fmt.Println(rand.Uint64(), rand.IntN(1000))
	m := make(map[int]bool)
	for i := range 100 {
		m[i] = true
	}
	for k := range m {
		fmt.Print(k, " ")
	}
	out := make(chan string, 100)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			a, b := make(chan int, 1), make(chan int, 1)
			a <- i
			b <- -i
			for range i % 7 {
				runtime.Gosched()
				_ = make([]byte, rand.IntN(1<<16))
			}
			time.Sleep(rand.N(3 * time.Microsecond))
			select {
			case n := <-a:
				out <- fmt.Sprint(n)
			case n := <-b:
				out <- fmt.Sprint(n)
			}
		})
	}
	wg.Wait()
	close(out)
	for s := range out {
		fmt.Print(s, " ")
	}
	fmt.Println(time.Now())
}

func clock() {
	fmt.Println(time.Now().UTC().Truncate(time.Second).Format(time.RFC3339))
	start := time.Now()
	for range 10_000 {
		runtime.Gosched() // takes no time
	}
	fmt.Println(time.Since(start))
	time.Sleep(36 * time.Hour)
	fmt.Println(time.Since(start))
	select {
	case <-time.After(time.Nanosecond):
	case <-time.After(time.Hour):
	}
	fmt.Println(time.Since(start))
}
