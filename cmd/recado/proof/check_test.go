package proof

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"recado/modem/emulator"
)

// violation is a promise that was not kept, by its name.
type violation struct{ Promise, What string }

// The promises.
const (
	acknowledgedExists = "what was acknowledged exists"
	oneMessageAKey     = "one message an Idempotency-Key"
	changedRefused     = "a changed body is refused with 422"
	askedFor           = "nothing leaves that nobody asked for"
	attemptFirst       = "no submission without its attempt's row"
	atMostOnce         = "otp and bulk at most once"
	atLeastOnce        = "alerts at least once"
	acceptedIsThere    = "what counts as accepted the network has"
	rightReference     = "an accepted attempt has its own reference"
	duplicatesFlagged  = "duplicates are flagged, and at most as many as answers were lost"
	ambiguousVisible   = "a lost answer is visible"
	longWhole          = "a long message is of one SIM and one reference"
	inboundOnce        = "a received message is there once, with one event"
	reportsRight       = "delivered is what the network says"
	eventsTold         = "every state was told"
	nothingOpen        = "no attempt stays open"
	nothingHeld        = "nothing is held that nobody held"
)

// submission names one segment of one message in the ledger.
type submission struct {
	to, text string // text of a message of one segment
}

// part reads a segment's number and its message's reference; 1, "" when it is a
// message of its own (TS 23.040 9.2.3.24.1 and .8).
func part(e emulator.Entry) (n int, ref string) {
	udh := e.UDH
	switch {
	case len(udh) == 12 && udh[:6] == "050003":
		v, _ := strconv.ParseUint(udh[10:], 16, 8)
		return int(v), udh[6:8]
	case len(udh) == 14 && udh[:6] == "060804":
		v, _ := strconv.ParseUint(udh[12:], 16, 8)
		return int(v), udh[6:10]
	}
	return 1, ""
}

// check holds the outcome against every promise.
func check(o outcome) (found []violation) {
	broken := func(promise, format string, args ...any) {
		found = append(found, violation{promise, fmt.Sprintf(format, args...)})
	}
	byID, byWhat := map[string]*message{}, map[submission]*message{}
	for i := range o.Messages {
		m := &o.Messages[i]
		byID[m.ID] = m
		what := submission{to: m.To, text: m.Text}
		if m.Segments > 1 {
			what.text = ""
		}
		if byWhat[what] != nil {
			broken(oneMessageAKey, "two messages to %s: %s, %s", m.To, byWhat[what].ID, m.ID)
		}
		byWhat[what] = m
	}
	checkRequests(o, byID, byWhat, broken)

	sent := map[string]map[int][]emulator.Entry{} // message → segment → what the network took
	for _, e := range o.Ledger {
		if e.Type != emulator.EntrySubmit || !e.Accepted {
			continue
		}
		n, ref := part(e)
		what := submission{to: e.DA, text: e.Text}
		if ref != "" {
			what.text = ""
		}
		m := byWhat[what]
		if m == nil {
			broken(askedFor, "segment %d to %s, ledger %d", n, e.DA, e.Seq)
			continue
		}
		if sent[m.ID] == nil {
			sent[m.ID] = map[int][]emulator.Entry{}
		}
		sent[m.ID][n] = append(sent[m.ID][n], e)
	}
	tried := map[string]map[int][]attempt{}
	for _, a := range o.Attempts {
		if tried[a.Message] == nil {
			tried[a.Message] = map[int][]attempt{}
		}
		tried[a.Message][a.N] = append(tried[a.Message][a.N], a)
		if a.Phase != "done" {
			broken(nothingOpen, "attempt %d of %s", a.ID, a.Message)
		}
	}
	for i := range o.Messages {
		m := &o.Messages[i]
		if o.Drained && (m.State == "queued" || m.State == "sending") {
			broken(atLeastOnce, "%s is still %s", m.ID, m.State)
		}
		if m.State == "held" {
			broken(nothingHeld, "%s: %s", m.ID, m.Reason)
		}
		checkSending(m, sent[m.ID], tried[m.ID], o.Retries[m.ID], broken)
	}
	checkReceiving(o, broken)
	checkReports(o, sent, broken)
	return found
}

type report = func(promise, format string, args ...any)

func checkRequests(o outcome, byID map[string]*message, byWhat map[submission]*message, broken report) {
	for _, r := range o.Requests {
		id := r.acknowledged()
		for _, a := range r.Answers {
			switch {
			case a.Changed && a.Status == http.StatusAccepted:
				broken(changedRefused, "%s was accepted with another body", r.Key)
			case a.Changed && a.Status != 0 && id != "" && a.Status != http.StatusUnprocessableEntity && !a.later():
				broken(changedRefused, "%s with another body: %d", r.Key, a.Status)
			case a.Status == http.StatusAccepted && a.ID != id:
				broken(oneMessageAKey, "%s is %s and %s", r.Key, id, a.ID)
			case !a.Changed && a.Status != 0 && a.Status != http.StatusAccepted && a.Status != http.StatusConflict && !a.later():
				broken(acknowledgedExists, "%s: %d", r.Key, a.Status)
			}
		}
		if id == "" {
			continue
		}
		if m := byID[id]; m == nil || m.To != r.To || m.Text != r.Text || m.Class != r.Class {
			broken(acknowledgedExists, "%s (%s) is not in the database as it was asked for", id, r.Key)
		}
		if o.API[id] == "" {
			broken(acknowledgedExists, "%s (%s) is not in the API", id, r.Key)
		}
	}
	asked := map[string]bool{}
	for _, r := range o.Requests {
		asked[r.To+"\n"+r.Text] = true
	}
	for _, m := range o.Messages {
		if !asked[m.To+"\n"+m.Text] {
			broken(askedFor, "message %s to %s", m.ID, m.To)
		}
	}
}

// checkSending looks at one message.
func checkSending(m *message, sent map[int][]emulator.Entry, tried map[int][]attempt, retries int, broken report) {
	lost, duplicates := 0, 0
	refs, sims := map[string]bool{}, map[string]bool{}
	for n := range m.Segments {
		n++
		network, attempts := sent[n], slices.Clone(tried[n])
		accepted := 0
		for _, a := range attempts {
			if a.Outcome == "ambiguous" {
				lost++
			}
			if a.Outcome != "accepted" && a.Outcome != "duplicate" {
				continue
			}
			accepted++
			if a.MR >= 0 && !slices.ContainsFunc(network, func(e emulator.Entry) bool { return e.SIM == a.SIM && e.MR == a.MR }) {
				broken(rightReference, "attempt %d of %s has reference %d on %s, the network has no such", a.ID, m.ID, a.MR, a.SIM)
			}
		}
		if accepted > len(network) {
			broken(acceptedIsThere, "segment %d of %s: %d attempts accepted, the network has %d", n, m.ID, accepted, len(network))
		}
		for _, e := range network {
			i := slices.IndexFunc(attempts, func(a attempt) bool {
				return a.SIM == e.SIM && a.Outcome != "not_sent" && a.Outcome != "rejected" && (a.MR < 0 || a.MR == e.MR)
			})
			if i < 0 {
				broken(attemptFirst, "segment %d of %s, ledger %d on %s", n, m.ID, e.Seq, e.SIM)
				continue
			}
			attempts = slices.Delete(attempts, i, i+1)
			_, ref := part(e)
			refs[ref], sims[e.SIM] = true, true
		}
		duplicates += max(len(network)-1, 0)
		left := m.State == "sent" || m.State == "delivered" || m.State == "undelivered"
		if left && len(network) == 0 {
			broken(acceptedIsThere, "segment %d of %s, which is %s", n, m.ID, m.State)
		}
	}
	if duplicates > 0 && (m.Class == "otp" || m.Class == "bulk") {
		broken(atMostOnce, "%s %s: %d too many", m.Class, m.ID, duplicates)
	}
	if duplicates > 0 && (!m.PossibleDuplicate || duplicates > retries) {
		broken(duplicatesFlagged, "%s: %d duplicates, %d retries, flagged %t", m.ID, duplicates, retries, m.PossibleDuplicate)
	}
	shown := m.State == "uncertain" || m.PossibleDuplicate || m.State == "delivered" || m.State == "undelivered"
	if lost > 0 && !shown {
		broken(ambiguousVisible, "%s lost %d answers and is %s", m.ID, lost, m.State)
	}
	if m.Segments > 1 && retries == 0 && (len(refs) > 1 || len(sims) > 1) {
		broken(longWhole, "%s left on %d SIMs with %d references", m.ID, len(sims), len(refs))
	}
}

// checkReceiving compares what the network brought with what is there.
func checkReceiving(o outcome, broken report) {
	brought, there := map[string]int{}, map[string]int{}
	for _, e := range o.Ledger {
		if e.Type == emulator.EntryInbound {
			brought[e.Text]++
		}
	}
	told := map[string]int{}
	for _, e := range o.Events {
		if e.Type == "inbound.received" {
			told[e.ID]++
		}
	}
	for _, in := range o.Inbound {
		there[in.Text]++
		if told[in.ID] != 1 {
			broken(inboundOnce, "%s was told %d times", in.ID, told[in.ID])
		}
	}
	for text, n := range brought {
		// What lies on a SIM still is read later. Two equal ones of one sender in one second count once (queue/states.md).
		if there[text] > n || there[text] == 0 && o.Drained {
			broken(inboundOnce, "%q came %d times and is there %d times", text, n, there[text])
		}
	}
	for text := range there {
		if brought[text] == 0 {
			broken(inboundOnce, "%q never came", text)
		}
	}
}

// checkReports compares what is delivered with what the network reported.
func checkReports(o outcome, sent map[string]map[int][]emulator.Entry, broken report) {
	delivered := map[int]bool{}
	for _, e := range o.Ledger {
		if e.Type == emulator.EntryReport && e.ST <= 0x02 {
			delivered[e.Ref] = true
		}
	}
	told := map[string]map[string]bool{}
	for _, e := range o.Events {
		if told[e.ID] == nil {
			told[e.ID] = map[string]bool{}
		}
		told[e.ID][e.Type] = true
	}
	for _, m := range o.Messages {
		switch m.State {
		case "sent", "delivered", "undelivered", "uncertain", "failed", "expired":
			if !told[m.ID]["message."+m.State] {
				broken(eventsTold, "%s is %s", m.ID, m.State)
			}
		}
		if m.State != "delivered" {
			continue
		}
		for n := range m.Segments {
			if !slices.ContainsFunc(sent[m.ID][n+1], func(e emulator.Entry) bool { return delivered[e.Seq] }) {
				broken(reportsRight, "segment %d of %s was not reported as delivered", n+1, m.ID)
			}
		}
	}
}
