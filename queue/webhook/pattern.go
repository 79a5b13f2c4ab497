package webhook

import (
	"slices"
	"strings"

	"recado/queue"
)

// Types are the events that there are to tell, as the API names them. A
// system.test goes only to the endpoint that is tested.
var Types = []string{
	"message.sent", "message.delivered", "message.undelivered", "message.failed", "message.expired", "message.cancelled",
	"message.uncertain", "message.held", "inbound.received", "inbound.partial", "contact.opted_out", "contact.opted_in",
	"campaign.started", "campaign.paused", "campaign.finished", "sim.state", "sim.limit", "sim.credit", "modem.state", typeTest,
}

const (
	typeTest    = "system.test"
	maxPatterns = 32
)

// checkPatterns gives the patterns without repeats. One that matches no event
// that there is would wait for ever: it is refused.
func checkPatterns(patterns []string) ([]string, error) {
	if len(patterns) == 0 || len(patterns) > maxPatterns {
		return nil, &queue.Invalid{Field: "events", Detail: `name from 1 to 32 kinds of events, such as "message.*" or "inbound.received"; "*" is all`}
	}
	var list []string
	for _, p := range patterns {
		if !slices.ContainsFunc(Types, func(typ string) bool { return matches(p, typ) }) {
			return nil, &queue.Invalid{Field: "events", Value: p,
				Detail: `there is no such event; take from ` + strings.Join(Types, ", ") + `, or a kind such as "message.*", or "*"`}
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list, nil
}

// matches tells whether a pattern names a type: wholly, by its kind (message.*)
// or as any (*).
func matches(pattern, typ string) bool {
	if pattern == "*" || pattern == typ {
		return true
	}
	kind, any := strings.CutSuffix(pattern, ".*")
	return any && !strings.ContainsAny(kind, "*.") && strings.HasPrefix(typ, kind+".")
}

func wanted(patterns []string, typ string) bool {
	return typ != typeTest && slices.ContainsFunc(patterns, func(p string) bool { return matches(p, typ) })
}
