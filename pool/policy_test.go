package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/at"
	"recado/queue"
)

// refused is the outcome of an error after the PDU.
func refused(err error) modem.Outcome {
	m := modem.MeaningOf(err)
	return modem.Outcome{Verdict: m.Verdict, Class: m.Class, Code: m.Code, Plan: m.Plan(), HoldSIM: m.HoldSIM}
}

func TestDecide(t *testing.T) {
	const n, s, d = modem.ClassNetwork, modem.ClassSIM, modem.ClassDevice
	nobody, other, abroad := elsewhere{}, elsewhere{sim: true}, elsewhere{sim: true, operator: true}
	for name, c := range map[string]struct {
		code   int
		tries  int
		others elsewhere
		want   decision
	}{
		"a bad number fails at once":              {1, 0, other, decision{class: modem.ClassRecipient, reason: "rejected"}},
		"bad content fails at once":               {159, 0, nobody, decision{class: modem.ClassContent, reason: "rejected"}},
		"the network's trouble backs off":         {17, 2, nobody, decision{retry: true, class: n, after: 2 * time.Minute}},
		"the passing one faster":                  {41, 2, nobody, decision{retry: true, class: n, after: 20 * time.Second}},
		"back-off has a ceiling":                  {42, 40, nobody, decision{retry: true, class: n, after: 30 * time.Minute}},
		"a long outage waits":                     {38, 0, other, decision{retry: true, class: n, after: 10 * time.Minute}},
		"and prefers another operator":            {38, 1, abroad, decision{retry: true, class: n, after: 20 * time.Minute, avoid: true}},
		"a phone out of order is waited for":      {27, 3, other, decision{retry: true, class: n, after: 15 * time.Minute}},
		"four times":                              {27, 4, other, decision{class: modem.ClassRecipient, reason: "rejected"}},
		"a code that promises little has a limit": {127, 3, nobody, decision{class: modem.ClassRecipient, reason: "rejected"}},
		"application codes too":                   {230, 2, nobody, decision{class: n, reason: "rejected"}},
		"a SIM's trouble goes to another SIM":     {8, 0, other, decision{retry: true, class: s, avoid: true}},
		"not in a circle without a pause":         {8, 2, other, decision{retry: true, class: s, avoid: true, after: 10 * time.Second}},
		"without another SIM it waits":            {8, 0, nobody, decision{retry: true, class: s, after: 5 * time.Second}},
		"one other SIM is asked":                  {21, 0, other, decision{retry: true, class: s, avoid: true}},
		"and then it fails":                       {21, 1, other, decision{class: modem.ClassRecipient, reason: "rejected"}},
		"at once when there is none":              {21, 0, nobody, decision{class: modem.ClassRecipient, reason: "rejected"}},
		"a busy modem waits a moment":             {314, 9, nobody, decision{retry: true, class: modem.ClassBusy, after: 30 * time.Second}},
		"the SIM's centre is no fault of it":      {330, 0, other, decision{retry: true, class: s}},
		"nor is the lack of a network":            {331, 7, nobody, decision{retry: true, class: d}},
		"it may go without a validity":            {198, 0, other, decision{retry: true, class: modem.ClassContent, degrade: modem.DegradeValidity}},
		"once":                                    {198, 1, other, decision{class: modem.ClassContent, reason: "rejected"}},
		"nobody knows it: the device first":       {900, 0, nobody, decision{retry: true, class: modem.ClassUnknown, after: time.Second}},
		"then the network":                        {900, 2, nobody, decision{retry: true, class: n, after: time.Minute}},
		"and then no more":                        {900, 3, nobody, decision{class: n, reason: "rejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, decide(refused(at.CMSError(c.code)), c.tries, c.others))
		})
	}
	gone := modem.Outcome{Verdict: modem.NotSent, Class: d, Code: "gone", Plan: modem.Meaning{Class: d}.Plan()}
	require.Equal(t, decision{retry: true, class: d, avoid: true}, decide(gone, 0, other), "another line takes it at once")
	require.Equal(t, decision{retry: true, class: d, after: time.Second}, decide(gone, 0, nobody), "or this one, later")
	require.Equal(t, decision{retry: true, after: 10 * time.Second}, decide(modem.Outcome{Code: "refused"}, 1, nobody),
		"a gate that failed is nobody's fault")
}

// TestTriesOf: another error begins to count anew.
func TestTriesOf(t *testing.T) {
	m := queue.Message{Failures: 3, Error: &queue.Error{Code: "cms_27"}}
	require.Equal(t, 3, triesOf(modem.Outcome{Code: "cms_27"}, m))
	require.Zero(t, triesOf(modem.Outcome{Code: "cms_41"}, m))
	require.Zero(t, triesOf(modem.Outcome{Code: "cms_27"}, queue.Message{Failures: 3}))
}
