package tracer

import "strings"

// results are the verdicts in the order of the hook table.
func (r *rehearsal) results() []SelfTestResult {
	var all []SelfTestResult
	for i := range hooks {
		h := &hooks[i]
		if r.tracer.probes.attached[h.program] {
			all = append(all, r.verdict(h))
		}
	}
	return all
}

func (r *rehearsal) verdict(h *hook) SelfTestResult {
	res := SelfTestResult{Hook: h.place(), Verdict: VerdictUntested, Detail: "the self-test has no way to make it fire"}
	var silent, untried []string
	for _, c := range r.checks {
		switch {
		case c.program != h.program:
		case c.seen:
			res.Verdict, res.Detail = VerdictFired, ""
		case c.cause != nil:
			untried = append(untried, c.fact+": "+c.cause.Error())
		default:
			silent = append(silent, c.fact)
		}
	}
	switch {
	case len(silent) > 0:
		return SelfTestResult{Hook: h.place(), Verdict: VerdictSilent, Detail: "no event of " + strings.Join(silent, ", ")}
	case len(untried) > 0 && res.Verdict != VerdictFired:
		res.Detail = strings.Join(untried, "; ")
	}
	return res
}
