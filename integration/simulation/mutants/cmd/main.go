// Command cmd runs the simulation against the proxy with one safety rule switched
// off at a time, and prints which of them it noticed. It fails if one was not.
//
//	go run ./integration/simulation/mutants/cmd [-plans 1000] [-timeout 2m] [-only name,name]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/messageproxy/messageproxy/integration/simulation/mutants"
)

func main() {
	check := mutants.Check{}
	flag.StringVar(&check.Root, "root", ".", "the root of the repository")
	flag.IntVar(&check.Plans, "plans", 1000, "how many plans a mutant has at most to get through")
	flag.DurationVar(&check.Timeout, "timeout", 2*time.Minute, "how long they may take")
	only := flag.String("only", "", "the names of the mutants to run, with commas; default: all")
	verbose := flag.Bool("v", false, "print what the simulation said of each mutant")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, check, *only, *verbose)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check mutants.Check, only string, verbose bool) error {
	list, err := choose(only)
	if err != nil {
		return err
	}
	var failed, otherwise []string
	caught, start := 0, time.Now()
	check.Told = func(v mutants.Verdict) {
		fmt.Println(v.Row())
		if verbose || v.Err != nil {
			fmt.Fprintln(os.Stderr, v.Output)
		}
		switch isControl := v.Mutant.Name == mutants.Unchanged.Name; {
		case v.Err != nil, v.Survived() != isControl, isControl && v.Plans < check.Plans:
			failed = append(failed, v.Mutant.Name)
		case !isControl:
			caught++
			if !v.Expected() {
				otherwise = append(otherwise, v.Mutant.Name)
			}
		}
	}
	fmt.Println(mutants.TableHeader)
	if err := check.Run(ctx, list); err != nil {
		return err
	}
	fmt.Printf("\n%d rules were switched off one at a time; the simulation noticed %d, in %.0f s.\n",
		len(list)-1, caught, time.Since(start).Seconds())
	if len(otherwise) > 0 {
		fmt.Printf("Other violations than expected were seen of: %s.\n", strings.Join(otherwise, ", "))
	}
	if len(failed) > 0 {
		return errors.New("not as it should be: " + strings.Join(failed, ", "))
	}
	return nil
}

// choose returns the proxy as it is, and mutants.
func choose(only string) ([]mutants.Mutant, error) {
	list := mutants.All()
	if only != "" {
		names := strings.Split(only, ",")
		list = slices.DeleteFunc(list, func(m mutants.Mutant) bool { return !slices.Contains(names, m.Name) })
		if len(list) != len(names) {
			return nil, fmt.Errorf("not all of %s are names of mutants", only)
		}
	}
	return slices.Insert(list, 0, mutants.Unchanged), nil
}
