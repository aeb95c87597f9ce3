package integration_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The programs of sdk/examples work as their users run them: orders are produced,
// printed, shared by a pool of which one process is killed, and made into invoices.
func TestExamples(t *testing.T) {
	t.Parallel()
	a := newAdmin(t, sharedKafka.Brokers())
	a.ensureTopic("orders", 4)
	a.ensureTopic("invoices", 4)
	proxy := startProcess(t, sharedKafka.Brokers())
	example := func(name string, args ...string) *process {
		return start(t, name, append([]string{"-addr", proxy.addr}, args...)...)
	}
	orders := newOrders(t, example("produce", "-topic", "orders"))
	printer := example("consume", "-topic", "orders", "-subscription", unique(t, "sub"))
	victim, survivor := example("workerpool", "-workers", "2"), example("workerpool", "-workers", "2")
	pipeline := example("pipeline")

	eventually(t, patience, func() bool {
		orders.place(100) // orders without a key go to one partition for a while
		return len(orders.in(victim)) > 0 && len(orders.in(survivor)) > 0
	}, "both processes of the pool work")
	victim.kill()
	orders.place(1000)
	orders.finish()

	printer.await(patience, "every order", func([]string) bool { return len(orders.in(printer)) == orders.placed })
	survivor.await(patience, "the victim's orders too", func([]string) bool { return len(orders.in(victim, survivor)) == orders.placed })
	eventually(t, patience, func() bool {
		return a.committedSum("pipeline-example", "orders") == sum(a.ends("orders"))
	}, "every order is invoiced")
	invoices := make(map[string]bool)
	for _, values := range a.values("invoices", a.ends("invoices")) {
		orders.note(invoices, values)
	}
	require.Len(t, invoices, orders.placed)
	for _, p := range []*process{printer, survivor, pipeline} {
		require.NoError(t, p.terminate(), "an interrupt ends %s in good order", p.cmd.Path)
	}
}

// orders are the lines that a process of the produce example is given.
type orders struct {
	t       *testing.T
	produce *process
	placed  int
	pattern *regexp.Regexp // of an order, in whatever a program makes of it
	name    string
}

func newOrders(t *testing.T, produce *process) *orders {
	name := unique(t, "order")
	return &orders{t: t, produce: produce, name: name, pattern: regexp.MustCompile(`(?i)` + name + ` (\d+) `)}
}

func (o *orders) place(n int) {
	o.t.Helper()
	description := strings.Repeat("x", 300)
	for range n {
		_, err := fmt.Fprintf(o.produce.stdin, "%s %d %s\n", o.name, o.placed, description)
		require.NoError(o.t, err)
		o.placed++
	}
}

// finish awaits that all are stored.
func (o *orders) finish() {
	o.t.Helper()
	require.NoError(o.t, o.produce.stdin.Close())
	require.NoError(o.t, o.produce.wait())
	lines, _ := o.produce.said()
	require.Equal(o.t, []string{strconv.Itoa(o.placed) + " messages stored"}, lines)
}

// in returns the orders that the processes have mentioned.
func (o *orders) in(processes ...*process) map[string]bool {
	found := make(map[string]bool)
	for _, p := range processes {
		lines, _ := p.said()
		o.note(found, lines)
	}
	return found
}

func (o *orders) note(found map[string]bool, lines []string) {
	for _, line := range lines {
		if m := o.pattern.FindStringSubmatch(line); m != nil {
			found[m[1]] = true
		}
	}
}
