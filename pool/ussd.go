package pool

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"recado/modem"
)

// ErrSIMAway: no modem that is ready has the SIM; the text says why.
var ErrSIMAway = errors.New("the SIM is in no modem that is ready")

// USSDRefusedError is a USSD request that is not sent, whoever asks.
type USSDRefusedError struct {
	Code string // as it was asked
	Why  string
}

func (e *USSDRefusedError) Error() string { return "this USSD code is refused: " + e.Why }

// ussdReplyMost are the characters of a reply: what 160 octets hold of the GSM
// alphabet (TS 23.038 5).
const ussdReplyMost = 182

// ussdShape is what a code may be.
var ussdShape = regexp.MustCompile(`^[0-9*#]{1,30}$`)

// deniedMMI are the service codes of TS 22.030 annex B and 6.6.2, 6.6.3 that
// change how the SIM's owner is reached, what he may call, or his codes; with
// any prefix, because a question is only one character from an order.
var deniedMMI = map[string]string{
	"002": mmiForward, "004": mmiForward, "21": mmiForward, "61": mmiForward, "62": mmiForward, "67": mmiForward,
	"33": mmiBarring, "330": mmiBarring, "331": mmiBarring, "332": mmiBarring, "333": mmiBarring,
	"35": mmiBarring, "351": mmiBarring, "353": mmiBarring,
	"03": mmiPassword,
	"04": mmiPIN, "042": mmiPIN, "05": mmiPIN, "052": mmiPIN,
	"43": mmiWaiting,
	"30": mmiNumber, "31": mmiNumber, "76": mmiNumber, "77": mmiNumber, "300": mmiNumber,
	"37": mmiCalls, "66": mmiCalls, "75": mmiCalls, "88": mmiCalls, "96": mmiCalls,
}

const (
	mmiForward  = "it is about call forwarding"
	mmiBarring  = "it is about call barring"
	mmiPassword = "it changes the network's password"
	mmiPIN      = "it changes or unblocks a PIN; that is done with the command pin"
	mmiWaiting  = "it is about call waiting"
	mmiNumber   = "it is about showing or hiding numbers"
	mmiCalls    = "it is about how calls are treated"
)

// checkUSSD gives a *USSDRefusedError for what is not sent. A code may be several
// behind one another; *21*600#, **21*600#, #21#, ##21# and *#21# are all of 21.
func checkUSSD(code string) error {
	if !ussdShape.MatchString(code) {
		return &USSDRefusedError{code, "a code has 1 to 30 of the characters 0-9, * and #"}
	}
	return checkMMI(code)
}

func checkMMI(code string) error {
	for part := range strings.SplitSeq(code, "#") {
		service, _, _ := strings.Cut(strings.TrimLeft(part, "*"), "*")
		if why, denied := deniedMMI[service]; denied {
			return &USSDRefusedError{code, why}
		}
	}
	return nil
}

// USSD begins a USSD session on a SIM, by its ICCID or name, and gives the
// network's answer; a session that was open is ended. Errors: *USSDRefusedError,
// ErrNoSIM, ErrSIMAway, modem.ErrUSSDBusy while another request is waiting for
// its answer, modem.ErrUSSDRefused, modem.ErrNotReady when the modem was lost
// meanwhile, and the context's. That nothing came is no error but a status.
//
// It may be asked of a SIM that is switched off, and while sending is paused:
// it sends no message.
func (p *Pool) USSD(ctx context.Context, sim, code string) (modem.USSDAnswer, error) {
	code = strings.TrimSpace(code)
	if err := checkUSSD(code); err != nil {
		return modem.USSDAnswer{}, err
	}
	l, err := p.lineWith(ctx, sim)
	if err != nil {
		return modem.USSDAnswer{}, err
	}
	p.countsToo(ctx, sim, code)
	defer l.dials()()
	answer, err := l.modem.USSD(ctx, code)
	p.toldUSSD(l, "began", code, answer, err)
	return answer, err
}

// USSDReply answers what the network asked: up to 182 characters, of which only
// 0-9 * # + A-Z a-z and blanks are sent. modem.ErrNoUSSDSession when nothing is
// asked; else as USSD.
func (p *Pool) USSDReply(ctx context.Context, sim, text string) (modem.USSDAnswer, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "" || utf8.RuneCountInString(text) > ussdReplyMost:
		return modem.USSDAnswer{}, &USSDRefusedError{text, fmt.Sprintf("a reply has 1 to %d characters", ussdReplyMost)}
	case strings.ContainsAny(text[:1], "*#"):
		// Should the network have ended the session without a word, it would begin one.
		if err := checkMMI(text); err != nil {
			return modem.USSDAnswer{}, err
		}
	}
	l, err := p.lineWith(ctx, sim)
	if err != nil {
		return modem.USSDAnswer{}, err
	}
	defer l.dials()()
	answer, err := l.modem.USSDReply(ctx, text)
	p.toldUSSD(l, "replied", "", answer, err)
	return answer, err
}

// USSDEnd ends a SIM's session, also while the network's answer is awaited.
// Without a session it does nothing.
func (p *Pool) USSDEnd(ctx context.Context, sim string) error {
	l, err := p.lineWith(ctx, sim)
	if err != nil {
		return err
	}
	err = l.modem.USSDEnd(ctx)
	p.toldUSSD(l, "ended", "", modem.USSDAnswer{}, err)
	return err
}

// dials notes that the line's modem waits for the network's answer to a code until
// the function that it gives is called: what others can send is not given to it.
func (l *line) dials() (over func()) {
	note := func(n int32) {
		l.dialling.Add(n)
		if len(l.p.all()) > 1 { // else nobody waits for anybody
			l.p.kick()
		}
	}
	note(1)
	return func() { note(-1) }
}

// lineWith finds the line whose modem is ready and has the SIM.
func (p *Pool) lineWith(ctx context.Context, name string) (*line, error) {
	sim, err := p.SIM(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.draining.Load() {
		return nil, fmt.Errorf("%w: the program stops", ErrSIMAway)
	}
	for _, l := range p.all() {
		if l.hasSIM(sim.ICCID) {
			return l, nil
		}
	}
	why := sim.Reason
	if why == "" {
		why = "its state is " + sim.State
	}
	return nil, fmt.Errorf("%w: %s", ErrSIMAway, why)
}

// hasSIM says that the line has the SIM for itself and a modem that is ready,
// busy or not.
func (l *line) hasSIM(iccid string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ready := slices.Contains([]modem.State{modem.StateReady, modem.StateSending, modem.StateUnknown}, l.snap.State)
	return ready && l.key == iccid && l.twin == "" && !l.leaving
}

// toldUSSD logs that something was asked and how it ended, without any text: of
// a code, which may hold that of a voucher, only the service.
func (p *Pool) toldUSSD(l *line, what, code string, a modem.USSDAnswer, err error) {
	service := ""
	if i := strings.IndexAny(strings.TrimLeft(code, "*#"), "*#"); i >= 0 {
		service = code[:len(code)-len(strings.TrimLeft(code, "*#"))+i]
	}
	iccid := l.simKey()
	if what != "balance" {
		p.credit.personal(iccid)
	}
	attrs := []any{"what", what, "modem", l.snapshot().ID, "sim", "…" + iccid[max(0, len(iccid)-3):], "service", service,
		"status", string(a.Status), "characters", utf8.RuneCountInString(a.Text)}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	p.log.Info("USSD", attrs...)
}
