package modem

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/family"
)

var classes = map[ErrorClass]bool{
	ClassRecipient: true, ClassContent: true, ClassNetwork: true, ClassSIM: true,
	ClassDevice: true, ClassStorage: true, ClassBusy: true, ClassUnknown: true,
}

// TestEveryCode walks every number that a modem can say, in and out of the
// tables: each has a class, a verdict that fits its range, and plain words.
func TestEveryCode(t *testing.T) {
	for code := range 1200 {
		for _, err := range []error{at.CMSError(code), at.CMEError(code), fmt.Errorf("submit: %w", at.CMSError(code))} {
			v, class, name, detail := classOf(err)
			m := MeaningOf(err)
			require.NotEmpty(t, detail, err)
			require.Equal(t, m.Detail(), detail)
			if v == Accepted {
				require.Equal(t, "cms_197", name, "no other error means that it was sent")
				require.Equal(t, ClassNone, class)
				continue
			}
			require.True(t, classes[class], "%v has class %q", err, class)
			if m.Then != "" {
				require.True(t, classes[m.Then])
				require.Positive(t, m.Tries, "%v: Then without Tries", err)
			}
			if _, cme := errors.AsType[at.CMEError](err); cme {
				require.Equal(t, fmt.Sprintf("cme_%d", code), name)
				require.NotEqual(t, Rejected, v, "a CME is the modem's word, not the network's: %v", err)
				continue
			}
			require.Equal(t, fmt.Sprintf("cms_%d", code), name)
			switch {
			case code == 0, code >= 256 && code < 300, code >= 512 && code != 512:
				require.Equal(t, Ambiguous, v, "nobody knows what %v means", err)
			case code <= 255:
				require.Equal(t, Rejected, v, "the network answered: %v", err)
			}
		}
	}
}

// TestVerdicts pins what reliability §2.3 decides: the sides of the line that
// costs a duplicate or a loss.
func TestVerdicts(t *testing.T) {
	for _, code := range []int{302, 303, 304, 305, 310, 311, 312, 313, 314, 315, 316, 317, 318, 330, 331} {
		v, _, _, _ := classOf(at.CMSError(code))
		require.Equal(t, NotSent, v, "%d is local", code)
	}
	for _, code := range []int{332, 350, 500, 513, 514, 527, 550, 999} {
		v, _, _, _ := classOf(at.CMSError(code))
		require.Equal(t, Ambiguous, v, "%d was seen for delivered messages", code)
	}
	for _, code := range []int{3, 4, 16, 21, 22, 24, 25, 26, 27, 50, 51} {
		v, _, _, _ := classOf(at.CMEError(code))
		require.Equal(t, Ambiguous, v, "CME %d is about a command, perhaps another program's", code)
	}
	for _, code := range []int{10, 11, 12, 13, 30, 32} {
		v, _, _, _ := classOf(at.CMEError(code))
		require.Equal(t, NotSent, v, "CME %d is what the modem is in", code)
	}
	for err, code := range map[error]string{
		at.ErrTimeout: "timeout", at.ErrGone: "gone", at.ErrFailed: "error", errRebooted: "rebooted",
		context.Canceled: "cancelled", errors.New("garbage"): "unknown",
	} {
		v, class, name, _ := classOf(err)
		require.Equal(t, Ambiguous, v, err)
		require.Equal(t, ClassUnknown, class, err)
		require.Equal(t, code, name)
	}
	out := outcomeOf(at.Submission{Phase: at.PhasePDUSent, MR: 7})
	require.Equal(t, Accepted, out.Verdict)
	require.Empty(t, string(out.Class)+out.Code+out.Detail)
}

// TestPhaseDecides: the same words mean "not sent" before the PDU has left.
func TestPhaseDecides(t *testing.T) {
	for _, err := range []error{at.CMSError(500), at.CMSError(38), at.CMSError(197), at.ErrTimeout, at.ErrGone, at.ErrFailed} {
		for _, phase := range []at.Phase{at.PhaseNone, at.PhaseCommand, at.PhasePrompt} {
			out := outcomeOf(at.Submission{Phase: phase, Err: err})
			require.Equal(t, NotSent, out.Verdict, "%v in phase %d", err, phase)
			require.NotEqual(t, ClassUnknown, out.Class)
			require.NotEqual(t, ClassNone, out.Class)
			require.Equal(t, -1, out.MR)
		}
		out := outcomeOf(at.Submission{Phase: at.PhasePDUSent, Err: err})
		require.NotEqual(t, NotSent, out.Verdict, "%v after the PDU", err)
	}
	refused := errors.New("the message was cancelled")
	out := outcomeOf(at.Submission{Phase: at.PhaseGate, Err: refused})
	require.Equal(t, NotSent, out.Verdict)
	require.Equal(t, "refused", out.Code)
	require.Equal(t, refused, out.Err)
	out = outcomeOf(at.Submission{Phase: at.PhasePDUSent, MR: 7})
	require.Equal(t, Accepted, out.Verdict)
	require.Equal(t, 7, out.MR)
}

// TestALateLocalRefusalIsNone: a modem that has not tried knows it at once. Every
// code of every make that means so means nothing for sure after 10 s, and what the
// network refused stays refused.
func TestALateLocalRefusalIsNone(t *testing.T) {
	local := 0
	for _, f := range family.Families() {
		for code := range 1200 {
			for _, err := range []error{at.CMSError(code), at.CMEError(code)} {
				verdict := func(took time.Duration, err error) Verdict {
					return outcomeFor(f, at.Submission{Phase: at.PhasePDUSent, Err: err, MR: -1, Took: took}).Verdict
				}
				told := meaningFor(f, err).Verdict
				require.Equal(t, told, verdict(localWithin, err), "%s %v", f.Name, err)
				if told != NotSent {
					require.Equal(t, told, verdict(time.Minute, err), "%s %v", f.Name, err)
					continue
				}
				local++
				require.Equal(t, Ambiguous, verdict(localWithin+1, err), "%s %v", f.Name, err)
				require.Equal(t, Ambiguous, verdict(-1, err), "%s %v, of an earlier run's message", f.Name, err)
				require.Equal(t, Ambiguous, verdict(30*time.Second, fmt.Errorf("%w: %w", at.ErrNoReference, err)))
			}
		}
	}
	require.Greater(t, local, 100)
}

// TestVendorsOverride: what a make says of its own numbers comes first, and is
// as complete as the tables.
func TestVendorsOverride(t *testing.T) {
	for _, f := range family.Families() {
		for code := range 1200 {
			for _, err := range []error{at.CMSError(code), at.CMEError(code)} {
				m := meaningFor(f, err)
				own := f.CMS[code]
				if _, cme := err.(at.CMEError); cme {
					own = f.CME[code]
				}
				require.Equal(t, MeaningOf(err).Code, m.Code, "codes are stable")
				if own.Says == "" {
					require.Equal(t, MeaningOf(err), m)
					continue
				}
				require.Equal(t, own.Says, m.Says, f.Name)
				require.True(t, classes[m.Class], "%s: %v has class %q", f.Name, err, m.Class)
				require.Greater(t, code, 255, "%s: the network's own causes are nobody's to change", f.Name)
			}
		}
	}
	sent := func(maker, model string, code int) Verdict {
		return outcomeFor(family.Match(maker, model), at.Submission{Phase: at.PhasePDUSent, Err: at.CMSError(code)}).Verdict
	}
	require.Equal(t, Ambiguous, sent("Acme", "", 515))
	require.Equal(t, NotSent, sent("WAVECOM MODEM", "MULTIBAND", 515))
	require.Equal(t, NotSent, sent("SIEMENS", "MC35i", 516))
	require.Equal(t, NotSent, sent("Quectel", "EC25", 512))
	require.Equal(t, Ambiguous, sent("Sierra Wireless", "MC7304", 350))
	require.Equal(t, Ambiguous, sent("Quectel", "BG95", 500))
}

// classOf is the row of the error tables for err, in parts.
func classOf(err error) (Verdict, ErrorClass, string, string) {
	m := MeaningOf(err)
	return m.Verdict, m.Class, m.Code, m.Detail()
}
