package pool

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/at"
	"recado/modem/family"
)

// expected is a line of testdata/errors.txt.
type expected struct {
	kind     string // cms, cme
	families string // ",quectel,…,"; "": every make
	from, to int
	class    modem.ErrorClass
	after    modem.Verdict
	rule     string
	next     string
}

// tries are the decisions about one message, one after the other.
type tries map[string][]string // by "alone", "other", "abroad"

var (
	letters = map[string]modem.ErrorClass{
		"R": modem.ClassRecipient, "C": modem.ClassContent, "N": modem.ClassNetwork, "S": modem.ClassSIM,
		"D": modem.ClassDevice, "M": modem.ClassStorage, "B": modem.ClassBusy, "U": modem.ClassUnknown, "": modem.ClassNone,
	}
	afters = map[string]modem.Verdict{
		"refused": modem.Rejected, "unsent": modem.NotSent, "unknown": modem.Ambiguous, "accepted": modem.Accepted,
	}
)

// readErrors reads the table that was written by hand.
func readErrors(t *testing.T) (list []expected, rules map[string]tries) {
	text, err := os.ReadFile("testdata/errors.txt")
	require.NoError(t, err)
	rules = map[string]tries{}
	var kind, families string
	for i, line := range strings.Split(string(text), "\n") {
		where := fmt.Sprintf("line %d: %s", i+1, line)
		fields := strings.Split(line, "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "rule "):
			r := tries{}
			for _, f := range fields[1:] {
				who, what, _ := strings.Cut(f, " ")
				r[who] = strings.Fields(strings.ReplaceAll(what, "fail ", "fail-"))
			}
			if r["other"] == nil {
				r["other"] = r["alone"]
			}
			if r["abroad"] == nil {
				r["abroad"] = r["other"]
			}
			rules[strings.TrimPrefix(fields[0], "rule ")] = r
		case strings.HasPrefix(line, "["):
			kind, families, _ = strings.Cut(strings.Trim(line, "[]"), " ")
			if families != "" {
				families = "," + families + ","
			}
		default:
			require.Len(t, fields, 5, where)
			from, to, ranged := strings.Cut(fields[0], "-")
			e := expected{kind: kind, families: families, rule: fields[3], next: fields[4]}
			e.from, err = strconv.Atoi(from)
			require.NoError(t, err, where)
			if e.to = e.from; ranged {
				e.to, err = strconv.Atoi(to)
				require.NoError(t, err, where)
			}
			var known bool
			e.class, known = letters[fields[1]]
			require.True(t, known, where)
			e.after, known = afters[fields[2]]
			require.True(t, known, where)
			require.Contains(t, rules, e.rule, where)
			list = append(list, e)
		}
	}
	require.Greater(t, len(list), 150)
	return list, rules
}

// expectedOf is what the table has for a make's code: its own line first.
func expectedOf(list []expected, kind, make string, code int) expected {
	for _, own := range []bool{true, false} {
		for _, e := range list {
			mine := e.families != "" && strings.Contains(e.families, ","+make+",")
			if e.kind == kind && e.from <= code && code <= e.to && (own && mine || !own && e.families == "") {
				return e
			}
		}
	}
	panic("no line for " + kind + strconv.Itoa(code))
}

func errorOf(kind string, code int) error {
	if kind == "cms" {
		return at.CMSError(code)
	}
	return at.CMEError(code)
}

// word is a decision in the table's words.
func word(t *testing.T, d decision) string {
	switch {
	case !d.retry:
		require.Equal(t, "rejected", d.reason)
		for l, c := range letters {
			if c == d.class {
				return "fail-" + l
			}
		}
		return "fail-?"
	case d.degrade != "":
		return "degrade-" + string(d.degrade)
	}
	w := ""
	if d.avoid {
		w = "a"
	}
	switch {
	case d.after > 0 && d.after%time.Minute == 0:
		w += fmt.Sprintf("%dm", d.after/time.Minute)
	case d.after > 0:
		w += fmt.Sprintf("%ds", d.after/time.Second)
	}
	if w == "" {
		w = "free"
	}
	return w
}

// agrees compares an outcome, and what the pool makes of it again and again,
// with the table.
func (e expected) agrees(t *testing.T, o modem.Outcome, rules map[string]tries, what string) {
	t.Helper()
	verdict, class := e.after, e.class
	if o.Phase < at.PhasePDUSent {
		verdict = modem.NotSent
		if class == modem.ClassUnknown || class == modem.ClassNone {
			class = modem.ClassDevice
		}
	}
	require.Equal(t, verdict, o.Verdict, "%s: verdict", what)
	require.Equal(t, class, o.Class, "%s: class", what)
	require.NotEmpty(t, o.Detail, what)
	if o.Verdict == modem.Accepted || o.Verdict == modem.Ambiguous {
		return // nothing is decided here: the queue's policy for lost answers does
	}
	for who, others := range map[string]elsewhere{"alone": {}, "other": {sim: true}, "abroad": {sim: true, operator: true}} {
		for n, want := range rules[e.rule][who] {
			require.Equal(t, want, word(t, decide(o, n, others)), "%s: %s, try %d", what, who, n+1)
		}
	}
}

// TestEveryCode walks every number that a modem of any make can say, before the
// prompt and after the PDU.
func TestEveryCode(t *testing.T) {
	t.Parallel()
	list, rules := readErrors(t)
	for _, f := range family.Families() {
		for _, kind := range []string{"cms", "cme"} {
			for code := range 1001 {
				if code == 1000 {
					code = 65535
				}
				e := expectedOf(list, kind, f.Name, code)
				for _, phase := range []at.Phase{at.PhaseCommand, at.PhasePrompt, at.PhasePDUSent} {
					o := modem.OutcomeFor(f, at.Submission{Phase: phase, Err: errorOf(kind, code), MR: -1})
					require.Equal(t, fmt.Sprintf("%s_%d", kind, code), o.Code)
					require.Equal(t, kind == "cms" && code == 330, o.HoldSIM)
					e.agrees(t, o, rules, fmt.Sprintf("%s %s %d in phase %d", f.Name, kind, code, phase))
				}
			}
		}
	}
}
