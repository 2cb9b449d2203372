// Whoever comes first to a task whose account ends in 5 ends there, in the middle of its answer.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"syscall"
)

type task struct {
	ID      string `json:"id"`
	Number  int    `json:"number"`
	Attempt int    `json:"attempt"`
}

type order struct {
	Account  string  `json:"account"`
	Symbol   string  `json:"symbol"`
	N        int     `json:"n"`
	Side     string  `json:"side"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

type answer struct {
	ID      string  `json:"id"`
	Effects []order `json:"effects"`
}

var ends = regexp.MustCompile(`^a0..5-`)

func main() {
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked task
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		if asked.Attempt == 1 && ends.MatchString(asked.ID) {
			fmt.Fprintf(os.Stderr, "%s ends here\n", asked.ID)
			fmt.Printf(`{"id":"%s","eff`, asked.ID)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		bought := order{Account: "a", Symbol: asked.ID, N: asked.Number, Side: "buy", Quantity: 1, Price: 1}
		if err := answers.Encode(answer{ID: asked.ID, Effects: []order{bought}}); err != nil {
			panic(err)
		}
	}
}
