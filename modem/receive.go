package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recado/modem/at"
	"recado/modem/pdu"
)

// hint is what +CMTI or +CDSI said: something is in a memory. index -1: look
// through all of it. mem "" is the current one.
type hint struct {
	mem       string
	index     int
	heard     time.Time
	tries     int
	notBefore time.Time
}

// listWay is how a modem lets its messages be listed.
type listWay uint8

const (
	listByNumber listWay = iota // AT+CMGL=4 (TS 27.005 4.1)
	listByWord                  // AT+CMGL="ALL", as in text mode: seen where 4 is refused
	listOneByOne                // AT+CMGR over all indexes
)

// hintBacklog: with more hints than this a sweep is cheaper anyway.
const hintBacklog = 50

func (s *session) noteHint(h hint) {
	if s.hinted = true; s.sweepHere.every == sweepEveryDeaf && !s.noNotices {
		s.sweepHere.every = sweepEvery // it does announce
	}
	s.announce(h)
	for i := range s.hints {
		if other := &s.hints[i]; other.mem == h.mem && (other.index == h.index || other.index < 0) {
			other.heard = h.heard
			return
		}
	}
	if len(s.hints) >= hintBacklog {
		h.index = -1
	}
	s.hints = append(s.hints, h)
	s.want(s.readHints, 0)
}

// serveHints reads what was announced. From three in one memory on, one list is
// cheaper than as many reads.
func (s *session) serveHints(ctx context.Context) {
	now := time.Now()
	due := map[string][]hint{}
	var order []string
	later := s.hints[:0]
	for _, h := range s.hints {
		if h.notBefore.After(now) {
			later = append(later, h)
			continue
		}
		if h.mem == "" {
			h.mem = s.mem
		}
		if due[h.mem] == nil {
			order = append(order, h.mem)
		}
		due[h.mem] = append(due[h.mem], h)
	}
	s.hints = later
	for _, h := range later {
		s.want(s.readHints, h.notBefore.Sub(now))
	}
	for _, mem := range order {
		s.in(ctx, mem, func() {
			hints := due[mem]
			all := len(hints) >= 3
			for _, h := range hints {
				all = all || h.index < 0
			}
			if all {
				if s.sweep(ctx, mem); len(hints) == 1 && s.handed.Before(hints[0].heard) {
					s.nowhere() // seen with SIM7000: the network keeps it
				}
				return
			}
			for _, h := range hints {
				s.read(ctx, h)
			}
		})
	}
}

// in runs f while mem is the memory that is read from.
func (s *session) in(ctx context.Context, mem string, f func()) {
	if mem == "" || s.oneMemory {
		f()
		return
	}
	if !s.selects(ctx, mem) {
		if mem == s.mem {
			s.want(s.checkSettings, time.Second)
		} else { // it cannot be read from: then it may be in the one that can
			s.want(s.sweepHere, 0)
		}
		return
	}
	f()
	if s.selected != s.mem && !s.selects(ctx, s.mem) {
		s.want(s.checkSettings, time.Second)
	}
	s.adjacent = false
}

// selects makes mem the memory that is read from. What interrupts a look into
// another memory may leave that one selected.
func (s *session) selects(ctx context.Context, mem string) bool {
	n := 1
	if mem == s.mem {
		if n = s.settable; n == 0 {
			return true // it cannot be told: it has what it has
		}
	}
	if s.selected == mem && time.Since(s.selectedAt) < provenFor {
		return true
	}
	_, err := s.ask(ctx, setMemory(mem, n), memoryAnswer)
	switch {
	case err == nil:
		s.selection++ // nobody knows what it was before
		s.adjacent = s.serving
		s.chose(mem)
		return true
	case s.err != nil, answered(err), errors.Is(err, errPassive): // it is what it was
	default:
		s.selected = ""
	}
	return false
}

// read fetches one message. When it is not there yet it is looked for once more
// in half a second, and then everywhere.
func (s *session) read(ctx context.Context, h hint) {
	if here := (slot{h.mem, h.index}); s.taken[here] || s.emptied[here].After(h.heard) {
		return // a sweep was quicker
	}
	lines, err := s.ask(ctx, fmt.Sprintf("+CMGR=%d", h.index), readAnswer)
	if s.err != nil {
		return
	}
	e, ok := parseRead(lines, h.index)
	if ok = ok && err == nil; ok && e.Cut { // it may still be being written
		e, ok = s.doubt(ctx, h.mem, e, false)
	}
	if ok {
		s.take(h.mem, e)
		return
	}
	if h.tries == 0 {
		h.tries, h.notBefore = 1, time.Now().Add(500*time.Millisecond)
		s.hints = append(s.hints, h)
		s.want(s.readHints, 500*time.Millisecond)
		return
	}
	if s.sweep(ctx, h.mem); s.handed.Before(h.heard) {
		s.nowhere()
	}
}

// take hands a stored message to the keeper. SUBMITs that others stored stay.
func (s *session) take(mem string, e stored) {
	at := slot{mem, e.Index}
	switch {
	case e.foreign(), e.blank(), s.taken[at], s.m.isPassive():
		return
	case s.deleted[at] == e.PDU:
		// Deleted, and still there, or delivered once more: the sink has it.
		if s.isBack(at) {
			s.log(fmt.Sprintf("the modem did not delete a message from %s: it is told again", mem))
			s.wasRead(at)
			s.taken[at] = true
			s.deletes = append(s.deletes, at)
			s.want(s.delete, 0)
		}
		return
	}
	delete(s.returned, at)
	delete(s.doubts, at)
	s.hand(at, e)
}

// hand gives a message to the keeper; when the sink has it, it is deleted.
func (s *session) hand(at slot, e stored) {
	s.taken[at] = true
	s.wasRead(at)
	s.deleted[at] = e.PDU // looked at only once it is no longer taken
	s.handed = time.Now()
	r := s.received(e.PDU)
	if e.foreign() {
		r.PDU.Kind = pdu.KindSubmit // whatever it looks like, nobody sent it to us
	}
	if r.Memory = at.mem; s.oneMemory {
		r.Memory = "unknown"
	}
	// Some modems announce what they hold again: then it has been read before.
	r.Fresh = s.announced[at] && e.Stat == 0
	delete(s.announced, at)
	s.m.keeper.put(keep{r: r, from: s, slot: at, epoch: s.epoch})
}

// wasKept hears from the keeper: what the sink has may be deleted.
func (s *session) wasKept(k kept) {
	if k.ack {
		s.acks++
		s.want(s.acknowledge, 0)
	}
	if k.slot.mem == "" {
		return
	}
	if epoch, carried := s.carried[k.slot]; carried && epoch == k.epoch {
		delete(s.carried, k.slot) // another SIM is in, the message is where it was
	} else if k.epoch != s.epoch {
		return
	}
	if !k.ok {
		delete(s.taken, k.slot) // the next sweep reads it again
		delete(s.deleted, k.slot)
		return
	}
	s.deletes = append(s.deletes, k.slot)
	s.want(s.delete, 0)
}

// benign says that what should go is not there any more.
func benign(err error) bool {
	if e, ok := errors.AsType[at.CMSError](err); ok {
		return e == 321
	}
	e, ok := errors.AsType[at.CMEError](err)
	return ok && (e == 21 || e == 22)
}

// sweepCurrent reads everything in the memory that is in use, and the reports
// where they have a memory of their own.
func (s *session) sweepCurrent(ctx context.Context) {
	s.in(ctx, s.mem, func() { s.sweep(ctx, s.mem) })
	if s.m.Snapshot().ReportsBy == 2 && s.mem != "SR" && slices.Contains(s.mems, "SR") {
		s.in(ctx, "SR", func() { s.sweep(ctx, "SR") })
	}
	s.want(s.checkUsed, 2*time.Second)
}

// sweepAll reads everything in every memory: messages may lie where an earlier
// program, or the modem's own taste, has put them.
func (s *session) sweepAll(ctx context.Context) {
	if s.mem != "" {
		s.in(ctx, s.mem, func() { s.sweep(ctx, s.mem) })
	}
	for _, mem := range s.mems {
		if mem != s.mem && s.err == nil {
			s.in(ctx, mem, func() { s.sweep(ctx, mem) })
		}
	}
	s.want(s.checkUsed, 2*time.Second)
}

// sweep takes every received message of the selected memory, counts what stays
// there because it is not ours or does not go.
func (s *session) sweep(ctx context.Context, mem string) {
	if mem == "" {
		return
	}
	list, err := s.listMemory(ctx)
	if err != nil { // what it could not list now it lists the next time
		if s.err == nil && s.busy(err) {
			s.want(s.sweepMems, 5*time.Second)
		}
		return
	}
	staying, foreign := 0, 0
	for _, e := range list {
		if e.Cut && !e.foreign() && !s.taken[slot{mem, e.Index}] {
			var ok bool
			if e, ok = s.doubt(ctx, mem, e, true); s.err != nil {
				return
			} else if !ok {
				staying++
				continue
			}
		}
		if s.take(mem, e); !s.taken[slot{mem, e.Index}] {
			staying++
		}
		if e.foreign() && !e.blank() {
			foreign++
		}
	}
	s.gone(mem, list)
	if len(list) > 0 {
		delete(s.blind, mem) // it is not, after all
	}
	if mem == s.mem {
		s.staying, s.foreign, s.listed = staying, foreign, len(list)
	}
}

// listMemory lists the selected memory in the way that this modem allows.
func (s *session) listMemory(ctx context.Context) ([]stored, error) {
	for _, way := range []struct {
		way listWay
		cmd string
	}{{listByNumber, "+CMGL=4"}, {listByWord, `+CMGL="ALL"`}} {
		if s.listBy > way.way {
			continue
		}
		lines, err := s.ask(ctx, way.cmd, s.listTime())
		if err == nil {
			s.listHung = 0
			return parseList(lines), nil
		}
		if s.err != nil || errors.Is(err, errPassive) || meaningFor(s.family(), err).Class == ClassBusy {
			return nil, err
		}
		if noAnswer(err) {
			// The modem may have been away for a moment: once more, with more time.
			if s.listHung++; s.listHung == 1 {
				s.want(s.sweepMems, 2*time.Second)
				return nil, err
			}
			s.listHung = 0
		}
		s.listBy = way.way + 1
	}
	lines, err := s.ask(ctx, "+CMGD=?", simAnswer)
	var indexes []int
	if rest, ok := after(lines, "+CMGD"); err == nil && ok {
		indexes = parseIndexes(rest, 1000)
	}
	if len(indexes) == 0 {
		for i := range max(s.m.Snapshot().StorageTotal, 20) + 1 {
			indexes = append(indexes, i)
		}
	}
	var list []stored
	for _, i := range indexes {
		lines, err := s.ask(ctx, fmt.Sprintf("+CMGR=%d", i), readAnswer)
		if s.err != nil || errors.Is(err, errPassive) {
			return list, err
		}
		if s.busy(err) {
			return list, err
		}
		if e, ok := parseRead(lines, i); err == nil && ok {
			list = append(list, e)
		}
	}
	return list, nil
}

// listTime is how long a list may take. The longest that drivers have needed is
// for full memories; a line that waits so long for an answer that was lost sends
// nothing meanwhile, so at first it gets what its number of messages may need.
func (s *session) listTime() time.Duration {
	if s.listHung > 0 {
		return min(listAnswer, 2*(listFirst+time.Duration(s.used)*listEach))
	}
	return min(listAnswer, listFirst+time.Duration(s.used)*listEach)
}

// forgetSlots is for a modem whose memories others change: what was in a slot
// may be no more.
func (s *session) forgetSlots() {
	s.epoch++
	s.hints, s.deletes = nil, nil
	clear(s.taken)
	clear(s.deleted)
	clear(s.returned)
	clear(s.emptied)
	clear(s.doubts)
	clear(s.readings)
	clear(s.announced)
	clear(s.carried)
}
