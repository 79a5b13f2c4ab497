package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
)

func TestDecide(t *testing.T) {
	rejected := func(code string, class modem.ErrorClass) modem.Outcome {
		return modem.Outcome{Verdict: modem.Rejected, Code: code, Class: class}
	}
	for name, c := range map[string]struct {
		o        modem.Outcome
		failures int
		others   bool
		want     decision
	}{
		"a bad number fails at once": {
			o: rejected("cms_1", modem.ClassRecipient), others: true, want: decision{reason: "rejected"}},
		"bad content fails at once": {
			o: rejected("cms_159", modem.ClassContent), want: decision{reason: "rejected"}},
		"the network's trouble backs off": {
			o: rejected("cms_41", modem.ClassNetwork), failures: 2, want: decision{retry: true, after: 20 * time.Second}},
		"back-off has a ceiling": {
			o: rejected("cms_41", modem.ClassNetwork), failures: 40, want: decision{retry: true, after: 30 * time.Minute}},
		"a long outage waits long and prefers another SIM": {
			o: rejected("cms_38", modem.ClassNetwork), others: true, want: decision{retry: true, after: 10 * time.Minute, avoid: true}},
		"a code that promises little has a limit": {
			o: rejected("cms_127", modem.ClassNetwork), failures: 3, want: decision{reason: "rejected"}},
		"application codes too": {
			o: rejected("cms_230", modem.ClassNetwork), failures: 2, want: decision{reason: "rejected"}},
		"255 is not one of those": {
			o: rejected("cms_255", modem.ClassNetwork), failures: 1, want: decision{retry: true, after: 10 * time.Second}},
		"a SIM's trouble goes to another SIM": {
			o: rejected("cms_8", modem.ClassSIM), others: true, want: decision{retry: true, avoid: true}},
		"without another SIM it waits": {
			o: rejected("cms_8", modem.ClassSIM), want: decision{retry: true, after: 5 * time.Second}},
		"a transfer refused is tried on one other SIM": {
			o: rejected("cms_21", modem.ClassSIM), others: true, want: decision{retry: true, avoid: true}},
		"and then fails": {
			o: rejected("cms_21", modem.ClassSIM), failures: 1, others: true, want: decision{reason: "rejected"}},
		"a busy modem waits a moment": {
			o: rejected("cms_314", modem.ClassBusy), failures: 9, want: decision{retry: true, after: 30 * time.Second}},
		"a modem that took nothing gives the message to another": {
			o:      modem.Outcome{Verdict: modem.NotSent, Code: "gone", Class: modem.ClassDevice},
			others: true, want: decision{retry: true, avoid: true}},
		"or to itself, later": {
			o:    modem.Outcome{Verdict: modem.NotSent, Code: "timeout", Class: modem.ClassDevice},
			want: decision{retry: true, after: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, decide(c.o, c.failures, c.others))
		})
	}
}
