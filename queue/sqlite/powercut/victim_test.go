package powercut

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

// victimEnv makes this test binary the program whose power is cut: the path of
// its database; victimRounds is how long it works.
const victimEnv, roundsEnv = "RECADO_POWERCUT_VICTIM", "RECADO_POWERCUT_ROUNDS"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimEnv); path != "" {
		rounds, _ := strconv.Atoi(os.Getenv(roundsEnv))
		if err := work(path, rounds); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Kinds of what the victim says has happened: what it was told is on disk, and,
// for ctrlZ, what the network has got.
const (
	saidOpened    = "opened"
	saidSubmitted = "submitted"
	saidCtrlZ     = "ctrl-z"
	saidOutcome   = "outcome"
	saidReport    = "report"
	saidInbound   = "inbound"
	saidResolved  = "resolved"
	saidCancelled = "cancelled"
	saidSetting   = "setting"
)

// said is one marker in the log.
type said struct {
	What    string
	Message string   `json:",omitempty"` // id
	IDs     []string `json:",omitempty"` // of a request
	Key     string   `json:",omitempty"`
	Attempt int64    `json:",omitempty"`
	Verdict queue.Verdict
	Raw     []byte `json:",omitempty"` // what was received
	Text    string `json:",omitempty"` // and, with its last segment, what it says
	N       int    `json:",omitempty"`
}

func say(s said) error {
	b, err := json.Marshal(s)
	return errors.Join(err, shim.Mark(b))
}

// hand is what each of the victim's goroutines works with.
type hand struct {
	*queue.Store
	in *inbox.Store
	r  *rand.Rand
	n  int
}

// work does everything that a box does with its database, on many goroutines,
// and marks in the log what it was told.
func work(path string, rounds int) error {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, options())
	if err != nil {
		return err
	}
	q, err := queue.New(ctx, db, queue.Options{})
	if err != nil {
		return err
	}
	in := inbox.New(db, q, inbox.Options{})
	for i := range 2 {
		sim := lineOf(i).ICCID
		if err := q.SawSIM(ctx, queue.SIMRow{ICCID: sim}); err != nil {
			return err
		}
		// Counted, but not in the way: those of a new SIM let few through the gate.
		limits, warm := []queue.Limit{{Window: queue.WindowMinute, MaxSegments: 1e6}, {Window: queue.WindowDay, MaxSegments: 1e6, MaxRecipients: 1e6}}, false
		if err := q.SetLimits(ctx, sim, queue.LimitsPatch{Limits: &limits, WarmUp: &warm}); err != nil {
			return err
		}
	}
	if err := say(said{What: saidOpened}); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for i, do := range []func(*hand) error{(*hand).submit, (*hand).submit, (*hand).submit, (*hand).send, (*hand).send,
		(*hand).receive, (*hand).decide, (*hand).set} {
		wg.Go(func() {
			h := &hand{Store: q, in: in, r: rand.New(rand.NewPCG(uint64(i), 7)), n: i}
			for range rounds {
				if err := do(h); err != nil {
					errs <- err
					return
				}
				h.n += 8
			}
		})
	}
	wg.Wait()
	close(errs)
	return errors.Join(<-errs, db.Close())
}

func lineOf(i int) queue.Line {
	return queue.Line{ICCID: fmt.Sprintf("89340000000000000%02d", i), IMSI: fmt.Sprintf("2140700000000%02d", i), Modem: fmt.Sprint("modem", i)}
}

// submit accepts messages under a key.
func (h *hand) submit() error {
	class := []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk}[h.r.IntN(4)]
	req := queue.Request{Text: strings.Repeat("Aviso de prueba. ", 1+h.r.IntN(20)), Class: class, MaxSegments: 10}
	for i := range 1 + h.r.IntN(4) {
		req.To = append(req.To, fmt.Sprintf("+346%02d%06d", i, h.n))
	}
	if h.r.IntN(10) == 0 {
		req.SendAt = time.Now().Add(time.Hour)
	}
	key := fmt.Sprint("key", h.n)
	res, err := h.Submit(context.Background(), req, &queue.Idempotency{Scope: "victim", Key: key, Hash: []byte(key), Answer: answer})
	if err != nil {
		return err
	}
	s := said{What: saidSubmitted, Key: key}
	for _, m := range res.Messages {
		s.IDs = append(s.IDs, m.ID)
	}
	return say(s)
}

// answer is what is kept under the key: the messages' ids.
func answer(r queue.Result) []byte {
	var ids []string
	for _, m := range r.Messages {
		ids = append(ids, m.ID)
	}
	return []byte(strings.Join(ids, " "))
}

// send takes a message through the gate to its end.
func (h *hand) send() error {
	ctx := context.Background()
	l := lineOf(h.n % 8 % 2)
	c, err := h.Claim(ctx, l)
	if err == nil && c == nil { // quicker than those that submit
		if err = h.submit(); err == nil {
			c, err = h.Claim(ctx, l)
		}
	}
	if err != nil || c == nil {
		return err
	}
	if h.r.IntN(20) == 0 {
		return h.Unclaim(ctx, l.ICCID, c.Message.Seq, queue.Outcome{Retry: true})
	}
	a, err := h.Gate(ctx, l, c.Message.Seq, c.Next+1)
	if errors.Is(err, queue.ErrNotClaimed) { // cancelled meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	s := said{What: saidCtrlZ, Attempt: a, Message: c.Message.ID}
	if err := say(s); err != nil { // the network has it
		return err
	}
	mr := h.n / 8 % 256
	o := queue.Outcome{Verdict: queue.Accepted, MR: mr}
	switch h.r.IntN(8) {
	case 0:
		o = queue.Outcome{Verdict: queue.Ambiguous, MR: -1, Code: "timeout"}
	case 1:
		o = queue.Outcome{Verdict: queue.Rejected, MR: -1, Code: "cms_38", Retry: true, After: time.Minute}
	case 2:
		o = queue.Outcome{Verdict: queue.Rejected, MR: -1, Code: "cms_1", Reason: queue.ReasonRejected}
	}
	if _, err := h.Outcome(ctx, a, o, nil); err != nil {
		return err
	}
	s.What, s.Verdict = saidOutcome, o.Verdict
	if err := say(s); err != nil {
		return err
	}
	if o.Verdict != queue.Accepted || h.r.IntN(2) == 0 {
		return nil
	}
	now := time.Now()
	raw := fmt.Appendf(nil, "report %d of %s", a, l.ICCID)
	err = h.Report(ctx, queue.ReportIn{ICCID: l.ICCID, IMSI: l.IMSI, Modem: l.Modem, At: now, PDU: pdu.Received{
		Kind: pdu.KindStatusReport, Raw: raw, Address: c.Message.To, MR: uint8(mr), SCTS: now, DT: now}})
	if err != nil {
		return err
	}
	return say(said{What: saidReport, Raw: raw})
}

// receive stores a received message, of one segment or of two.
func (h *hand) receive() error {
	ctx := context.Background()
	text := fmt.Sprint("recibido ", h.n)
	if h.r.IntN(3) == 0 {
		text += strings.Repeat(" largo", 30)
	}
	tpdus, err := pdu.DeliverTPDU(fmt.Sprintf("+34611%06d", h.n%40), text, time.Now(), pdu.Options{Ref: uint16(h.n % 256)})
	if err != nil {
		return err
	}
	for i, tpdu := range tpdus {
		raw, err := pdu.WithSMSC("+34600000000", tpdu)
		if err != nil {
			return err
		}
		in := inbox.In{PDU: pdu.Decode(raw), ICCID: lineOf(0).ICCID, IMSI: lineOf(0).IMSI, Modem: "modem0", Memory: "SM"}
		for range 1 + h.r.IntN(2) { // read again before it could be deleted
			if err := h.in.Ingest(ctx, in); err != nil {
				return err
			}
		}
		s := said{What: saidInbound, Raw: in.PDU.Raw}
		if i == len(tpdus)-1 {
			s.Text = text
		}
		if err := say(s); err != nil {
			return err
		}
	}
	return nil
}

// decide resolves what is uncertain, and cancels what has not been sent.
func (h *hand) decide() error {
	ctx := context.Background()
	list, _, err := h.Messages(ctx, queue.Filter{States: []queue.State{queue.Uncertain}, Limit: 5})
	if err != nil {
		return err
	}
	for _, m := range list[:min(1, len(list))] {
		action := []string{queue.ResolveResend, queue.ResolveSent, queue.ResolveFailed}[h.r.IntN(3)]
		switch _, err := h.Resolve(ctx, m.ID, action, "victim"); {
		case errors.Is(err, queue.ErrState):
		case err != nil:
			return err
		default:
			if err := say(said{What: saidResolved, Message: m.ID}); err != nil {
				return err
			}
		}
	}
	if list, _, err = h.Messages(ctx, queue.Filter{States: []queue.State{queue.Queued, queue.Scheduled}, Limit: 5}); err != nil || len(list) == 0 {
		return err
	}
	m := list[h.r.IntN(len(list))]
	switch _, err := h.Cancel(ctx, m.ID); {
	case errors.Is(err, queue.ErrState):
		return nil
	case err != nil:
		return err
	}
	return say(said{What: saidCancelled, Message: m.ID})
}

// set writes a setting, and holds everything now and then.
func (h *hand) set() error {
	ctx := context.Background()
	if err := h.SetSetting(ctx, "victim", strconv.Itoa(h.n)); err != nil {
		return err
	}
	if _, err := h.Wake(ctx); err != nil {
		return err
	}
	if h.r.IntN(20) == 0 {
		if _, err := h.HoldAll(ctx, queue.ReasonRestored); err != nil {
			return err
		}
		if _, err := h.Release(ctx, queue.HeldFilter{}, "victim"); err != nil {
			return err
		}
	}
	return say(said{What: saidSetting, N: h.n})
}
