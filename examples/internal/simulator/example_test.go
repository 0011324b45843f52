package simulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
)

func ExampleStart() {
	s, err := simulator.Start(simulator.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	// Somebody answers the telephone 2001.
	command := strings.NewReader(`{"endpoint": "2001", "state": "connected"}`)
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.Info().Control+"/phone", command)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := s.Client().Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	var answer, line bytes.Buffer
	_, _ = answer.ReadFrom(response.Body)
	_ = json.Compact(&line, answer.Bytes())
	fmt.Println(line.String())
	// Output: {"endpoint":"2001","state":"connected","doNotDisturb":false}
}
