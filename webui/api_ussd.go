package webui

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"recado/modem"
	"recado/pool"
)

// USSDRequest begins, answers or ends a USSD session: exactly one of its fields.
type USSDRequest struct {
	Code  *string `json:"code,omitempty" nullable:"false" maxLength:"30" example:"*123#" doc:"Begins a session; 0-9, * and #. Codes of call forwarding, barring, PINs and the like are refused"`
	Reply *string `json:"reply,omitempty" nullable:"false" maxLength:"182" example:"1" doc:"Answers what the network asked; what is not 0-9 A-Z a-z * # + or blank is dropped"`
	End   bool    `json:"end,omitempty" doc:"Ends the session"`
}

// USSDAnswer is what the network said.
type USSDAnswer struct {
	Text       string `json:"text" doc:"Over one line or several; \"\" when the network said nothing"`
	Status     string `json:"status" enum:"done,reply_wanted,terminated,elsewhere,unsupported,timeout"`
	WantsReply bool   `json:"wants_reply" doc:"The network waits for a reply, three minutes at the most"`
}

// ussdPatience is how long a request may take: the submissions before it and the
// network's 30 s. ussdWrite is when the answer must have been written.
const (
	ussdPatience = 90 * time.Second
	ussdWrite    = ussdPatience + 10*time.Second
)

// ussdSeats says whose a SIM's open session is: a reply must not go into another
// person's menu.
type ussdSeats struct {
	mu    sync.Mutex
	seats map[string]ussdSeat // by ICCID
}

type ussdSeat struct {
	who   string
	until time.Time
}

// ussdSeatFor is how long an open session is kept for who began it; the modem
// ends it then too.
const ussdSeatFor = 3 * time.Minute

// taken says whether somebody else's session is open.
func (u *ussdSeats) taken(iccid, who string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	seat, ok := u.seats[iccid]
	return ok && seat.who != who && time.Now().Before(seat.until)
}

// sit notes how the session stands after an answer.
func (u *ussdSeats) sit(iccid, who string, open bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.seats, iccid)
	if open {
		if u.seats == nil {
			u.seats = map[string]ussdSeat{}
		}
		u.seats[iccid] = ussdSeat{who, time.Now().Add(ussdSeatFor)}
	}
}

// ussdIn is the request as huma reads it.
type ussdIn struct {
	SIMID
	Body USSDRequest
}

// Resolve gives the answer, which waits for a network, more time than others
// have. It implements huma.Resolver.
func (*ussdIn) Resolve(ctx huma.Context) []error {
	w := http.NewResponseController(humaecho.Unwrap(ctx).Response())
	_ = w.SetWriteDeadline(time.Now().Add(ussdWrite)) // a recorder in a test has none
	return nil
}

// simUSSD is for administrators alone: a code may cost money, and change what the
// SIM's owner has subscribed to.
func (s *Server) simUSSD() *operation {
	type out struct{ Body USSDAnswer }
	return op(operation{id: "sim-ussd", tag: "SIMs and modems", summary: "Ask the network with a USSD code",
		description: "The answer is waited for: up to 30 seconds, after the submission that the modem may have open. " +
			"While wants_reply, the session is the caller's: reply or end."},
		func(ctx context.Context, in *ussdIn) (*out, error) {
			answer, err := s.ussd(ctx, in.ICCID, in.Body)
			return &out{USSDAnswer{answer.Text, string(answer.Status), answer.Status == modem.USSDReplyWanted}}, err
		})
}

// ussd carries out one request of a USSD session, and leaves an audit row
// without its texts.
func (s *Server) ussd(ctx context.Context, iccidOrName string, b USSDRequest) (a modem.USSDAnswer, err error) {
	given := 0
	for _, one := range []bool{b.Code != nil, b.Reply != nil, b.End} {
		if one {
			given++
		}
	}
	if given != 1 {
		return a, invalid("body", "give one of code, reply and end", nil)
	}
	sim, err := s.pool.SIM(ctx, iccidOrName)
	if err != nil {
		return a, err
	}
	who := callerOf(ctx).principal.String()
	if s.ussdSeats.taken(sim.ICCID, who) {
		return a, newProblem(http.StatusConflict, "somebody else has a USSD session open on this SIM; try again in a few minutes")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ussdPatience,
		newProblem(http.StatusConflict, "the modem had no time for it; try again when it sends less"))
	defer cancel()
	what := "begin"
	switch {
	case b.Code != nil:
		a, err = s.pool.USSD(ctx, sim.ICCID, *b.Code)
	case b.Reply != nil:
		what = "reply"
		a, err = s.pool.USSDReply(ctx, sim.ICCID, *b.Reply)
	default:
		what = "end"
		a.Status, err = modem.USSDTerminated, s.pool.USSDEnd(ctx, sim.ICCID)
	}
	var refused *pool.USSDRefusedError
	if errors.As(err, &refused) {
		s.audited(ctx, "sim.ussd", sim.ICCID, what+" refused")
		return a, invalid(map[bool]string{true: "body.reply", false: "body.code"}[b.Reply != nil], refused.Why, nil)
	}
	if !errors.Is(err, modem.ErrUSSDBusy) { // the session of before is as it was
		s.ussdSeats.sit(sim.ICCID, who, err == nil && a.Status == modem.USSDReplyWanted)
	}
	detail := what + " " + string(a.Status)
	if err != nil {
		detail = what + " failed"
	}
	s.audited(ctx, "sim.ussd", sim.ICCID, detail)
	for _, known := range []error{modem.ErrUSSDRefused, modem.ErrUSSDBusy, modem.ErrNoUSSDSession, pool.ErrSIMAway, modem.ErrNotReady} {
		if errors.Is(err, known) {
			return a, newProblem(http.StatusConflict, err.Error())
		}
	}
	return a, err
}
