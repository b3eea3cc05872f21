package socialnet_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/socialnet"
)

// A scenario's servers, with the faults of the scenario played from now on.
func ExampleStartAll() {
	s, err := deathstarbench.Load("brown-out")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	network := socialnet.NewNetwork(socialnet.NewMemory())
	backends, err := socialnet.StartAll(ctx, s, network, socialnet.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backends.Stop()
	played := make(chan error, 1)
	go func() { played <- backends.PlayFaults(ctx, time.Now()) }()

	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + backends.Addr("a") + deathstarbench.UserTimelinePath +
		"?user_id=1&start=0&stop=10")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	cancel()
	fmt.Println(<-played)
	// Output:
	// 200 OK
	// <nil>
}
