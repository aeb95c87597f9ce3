package history

// pass goes through the history by itself when the other checks have, and reports one
// violation of each of its rules.
type pass struct {
	*checker
	reported map[string]bool // rules
}

func newPass(c *checker) *pass { return &pass{checker: c, reported: make(map[string]bool)} }

// violate reports a violation that shows at entry i, unless the pass has reported one
// of its rule. Entries explain it; some may be never.
func (x *pass) violate(i int, rule, problem string, entries ...int) {
	if x.reported[rule] {
		return
	}
	x.reported[rule] = true
	v := Violation{Rule: rule, Problem: problem, start: x.at(0), index: i}
	for _, k := range entries {
		if k != never {
			v.Events = append(v.Events, x.entries[k])
		}
	}
	x.found = append(x.found, v)
}
