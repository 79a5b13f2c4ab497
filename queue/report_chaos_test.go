package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// reportSeedsEnv says how many worlds TestEveryReportFindsItsOwnMessage lives
// through: two else.
const reportSeedsEnv = "RECADO_REPORT_SEEDS"

// same is the number that most of the messages go to.
const same = "+34600111222"

// truth is what the network knows of one message.
type truth struct {
	id    string
	final State // Sent: no report says how it ended; Uncertain: nobody was told of it
	lost  bool  // its +CMGS never came
}

// postman carries reports to the store when their time has come.
type postman struct {
	at time.Time
	in ReportIn
}

// world is a network with its service centre, whose clock is not ours, and SIMs
// whose references wrap (reliability R5).
type world struct {
	*box
	r        *rand.Rand
	mr       map[string]int
	modem    map[string]string // where a SIM is
	offset   time.Duration
	known    []truth
	mail     []postman
	restarts int
	reboots  int
}

// report writes a report of a submission.
func (w *world) letter(l Line, ra string, mr int, st uint8, scts, at time.Time) postman {
	raw := fmt.Appendf(nil, "%s %s %d %02x %d %d", l.ICCID, ra, mr, st, scts.UnixMilli(), at.UnixMilli())
	return postman{at, ReportIn{ICCID: l.ICCID, IMSI: l.IMSI, Modem: w.modem[l.ICCID], PDU: pdu.Received{
		Kind: pdu.KindStatusReport, Raw: raw, Address: ra, MR: uint8(mr), ST: st, SCTS: scts, DT: at.Add(w.offset)}}}
}

// deliver lets the time pass until t, with what comes meanwhile.
func (w *world) deliver(t time.Time) {
	slices.SortStableFunc(w.mail, func(a, b postman) int { return a.at.Compare(b.at) })
	for len(w.mail) > 0 && !w.mail[0].at.After(t) {
		p := w.mail[0]
		w.mail = w.mail[1:]
		if p.at.After(w.clock.Now()) {
			w.clock.forward(p.at.Sub(w.clock.Now()))
		}
		p.in.At = w.clock.Now()
		require.NoError(w.t, w.Report(context.Background(), p.in))
	}
	if t.After(w.clock.Now()) {
		w.clock.forward(t.Sub(w.clock.Now()))
	}
}

// send takes one message through the gate, and posts its reports.
func (w *world) send(l Line, to string) {
	l.Modem = w.modem[l.ICCID]
	m := w.submit(Request{To: []string{to}, Class: Bulk, SIM: l.ICCID})
	c, a := w.gated(l)
	require.Equal(w.t, m.ID, c.Message.ID)
	gate := w.clock.Now()
	accepted := gate.Add(time.Duration(500+w.r.IntN(3000)) * time.Millisecond)
	scts := accepted.Add(w.offset).Truncate(time.Second)
	known := truth{id: m.ID, final: Sent}
	fate := w.r.IntN(100)
	known.lost = fate < 6
	if fate == 0 { // it never got to the network, and nobody knows
		w.deliver(gate.Add(180 * time.Second))
		w.outcome(a, lost())
		known.final = Uncertain
		w.known = append(w.known, known)
		return
	}
	mr := w.mr[l.ICCID]
	w.mr[l.ICCID] = (mr + 1) % 256
	var last time.Time
	post := func(st uint8, after time.Duration) {
		p := w.letter(l, to, mr, st, scts, accepted.Add(after))
		w.mail = append(w.mail, p)
		for w.r.IntN(8) == 0 { // once more
			p.at = p.at.Add(time.Duration(w.r.IntN(7200)) * time.Second)
			w.mail = append(w.mail, p)
		}
		if w.r.IntN(12) == 0 { // once more in other octets: the centre tells it anew
			w.mail = append(w.mail, w.letter(l, to, mr, st, scts, p.at.Add(time.Duration(1+w.r.IntN(1800))*time.Second)))
		}
		last = p.at
	}
	after := time.Duration(1+w.r.IntN(120)) * time.Second
	switch w.r.IntN(10) {
	case 0:
		after = time.Duration(w.r.IntN(48*3600)) * time.Second
	case 1:
		after = 0 // before its +CMGS
	case 2, 3: // the service centre is still trying
		for range 1 + w.r.IntN(2) {
			post(stTrying, after)
			after += time.Duration(1+w.r.IntN(3600)) * time.Second
		}
	}
	switch w.r.IntN(20) {
	case 0: // none
	case 1, 2:
		known.final = Undelivered
		post([]uint8{stFailed, stGaveUp}[w.r.IntN(2)], after)
	default:
		known.final = Delivered
		post(stDelivered, after)
	}
	if to != same && fate >= 6 && w.r.IntN(10) == 0 { // the network sends them to our other SIM
		for i := range w.mail {
			if p := &w.mail[i].in; p.ICCID == l.ICCID && p.PDU.Address == to {
				p.ICCID, p.IMSI = line(1).ICCID, line(1).IMSI
			}
		}
	}
	w.deliver(accepted)
	switch {
	case fate < 4: // the answer is lost, the message is not
		w.deliver(gate.Add(180 * time.Second))
		w.outcome(a, lost())
		if last.IsZero() {
			known.final = Uncertain
		}
	case fate < 6: // Recado stops between Ctrl-Z and the answer
		w.restart()
		w.restarts++
		if last.IsZero() {
			known.final = Uncertain
		}
	default:
		w.deliver(accepted.Add(time.Duration(w.r.IntN(400)) * time.Millisecond))
		w.outcome(a, Outcome{Verdict: Accepted, MR: mr})
	}
	w.known = append(w.known, known)
}

func (w *world) live() {
	for i := range 1000 {
		w.send(line(1), same)
		if i%4 == 0 {
			w.send(line(2+i%8/4), fmt.Sprintf("+3461%07d", i))
		}
		if i%100 == 50 { // a SIM is put into another modem
			w.modem[line(1+i/100%3).ICCID] = fmt.Sprint("modem", i)
		}
		if i%250 == 125 {
			w.restart()
			w.restarts++
		}
		if i%50 == 0 {
			w.wake()
		}
		if w.r.IntN(60) == 0 { // its modem restarts, and counts from where it was a while ago
			w.mr[line(1).ICCID] = (w.mr[line(1).ICCID] + 256 - w.r.IntN(60)) % 256
			w.reboots++
		}
		w.deliver(w.clock.Now().Add(time.Duration(1+w.r.IntN(6)) * time.Second))
	}
	w.deliver(w.clock.Now().Add(60 * time.Hour))
	w.wake()
}

// TestEveryReportFindsItsOwnMessage: a thousand messages to one number, so that
// references come round four times, with reports that are early, late, doubled in
// the same octets and in others, provisional, of lost answers, and over restarts,
// moves of the SIM, and modems that begin to count anew.
func TestEveryReportFindsItsOwnMessage(t *testing.T) {
	seeds := 2
	if text := os.Getenv(reportSeedsEnv); text != "" {
		var err error
		seeds, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for seed := range seeds {
		w := &world{box: &box{t: t, path: filepath.Join(quick(t), "recado.db"), clock: newClock()}, r: rand.New(rand.NewPCG(uint64(seed), 5)),
			mr: map[string]int{}, modem: map[string]string{}}
		w.offset = []time.Duration{0, time.Hour, -37 * time.Second, 9 * time.Second}[seed%4]
		w.box.open()
		for i := 1; i <= 3; i++ {
			w.mr[line(i).ICCID], w.modem[line(i).ICCID] = w.r.IntN(256), line(i).Modem
			w.unlimited(line(i))
		}
		w.live()
		right, wrong, missed, open, lost := 0, 0, 0, 0, 0
		for _, k := range w.known {
			if k.lost {
				lost++
			}
			switch got := w.get(k.id); {
			case got.State == k.final:
				right++
			case got.State == Delivered, got.State == Undelivered:
				wrong++
				t.Logf("seed %d: %s is %s, and ended %s", seed, k.id, got.State, k.final)
			case k.lost && got.State == Uncertain:
				open++ // two lost answers side by side: nobody guesses
			default:
				missed++
				t.Logf("seed %d: %s is %s (%s), and ended %s", seed, k.id, got.State, got.Reason, k.final)
			}
		}
		var orphans, reports int
		require.NoError(t, w.db.Read().QueryRow(`SELECT count(*), count(*) - count(message) FROM report`).Scan(&reports, &orphans))
		t.Logf("seed %d, centre's clock %s off: %d messages, %d reports, %d restarts, %d of the modem: %d right, %d final and wrong, %d missed, %d of %d lost answers left uncertain, %d orphans",
			seed, w.offset, len(w.known), reports, w.restarts, w.reboots, right, wrong, missed, open, lost, orphans)
		require.NoError(t, w.db.Close())
		require.Zero(t, wrong, "a report ended another message")
		require.LessOrEqual(t, 1000*missed, len(w.known), "99.9 %% find theirs")
		require.LessOrEqual(t, 10*open, lost, "reports prove what was lost")
		require.LessOrEqual(t, orphans, 4*(missed+open), "a report is left over whose message is known to be sent") // provisional ones too
	}
}

// quick is a folder in memory where there is one: nothing here cuts the power.
func quick(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "recado-queue-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// TestEvidenceIsOfTheSameSIM: a report that came for one SIM proves nothing of
// what another may have sent.
func TestEvidenceIsOfTheSameSIM(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: OTP})
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	b.report(line(2), m.To, 7, stDelivered, b.clock.Now())
	require.Equal(t, Uncertain, b.get(m.ID).State)
	b.report(line(1), m.To, 7, stDelivered, b.clock.Now().Add(time.Second))
	require.Equal(t, Delivered, b.get(m.ID).State)
}
