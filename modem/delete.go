package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recado/modem/at"
)

const (
	// provenFor is how long the memory that is read from is believed to be the one
	// that AT+CPMS selected: after a restart that nobody noticed, or another
	// program's command, it is another.
	provenFor = 2 * time.Second
	// freshFor is how long what was read in a slot is believed to be still there. No
	// module starts anew in that time.
	freshFor = time.Second
)

// reading is when a slot was read, and in which selection of a memory.
type reading struct {
	at        time.Time
	selection int
}

// setMemory is AT+CPMS for the first n memories.
func setMemory(name string, n int) string {
	return "+CPMS=" + strings.Repeat(fmt.Sprintf(`,"%s"`, name), n)[1:]
}

// chose notes that mem is, for certain, the memory that is read from now.
func (s *session) chose(mem string) {
	if s.selected != mem {
		s.selection++
	}
	s.selected, s.selectedAt = mem, time.Now()
}

// mistrust is for signs that the modem may have restarted: what it was told, and
// what was read, is to be proved again.
func (s *session) mistrust() {
	s.selection++
	s.selectedAt = time.Time{}
	s.toldMode = time.Time{}
}

func (s *session) wasRead(at slot) {
	if s.readings == nil {
		s.readings = map[slot]reading{}
	}
	s.readings[at] = reading{time.Now(), s.selection}
}

// deleteKept deletes what the sink has stored, and nothing else. Between two
// messages a send may go.
func (s *session) deleteKept(ctx context.Context) {
	away := false
	for len(s.deletes) > 0 && s.err == nil {
		s.adjacent = false
		s.letSendGo(ctx)
		if s.err != nil || len(s.deletes) == 0 {
			break
		}
		d := s.deletes[0]
		// Done with, whatever comes: when the answer is lost, another message may be
		// in this place by now, and only what is read there can say.
		s.deletes = s.deletes[1:]
		delete(s.taken, d)
		s.pairing = true
		if s.oneMemory || d.mem == "" || s.selects(ctx, d.mem) {
			s.deleteSlot(ctx, d)
			away = away || d.mem != s.mem
		} else if s.err == nil { // leave it to a sweep
			s.want(s.checkSettings, time.Second)
		}
		s.pairing = false
	}
	if away && s.err == nil && !s.oneMemory && !s.selects(ctx, s.mem) {
		s.want(s.checkSettings, time.Second)
	}
	s.adjacent = false
	s.want(s.checkUsed, 2*time.Second)
}

// deleteSlot deletes one message of the selected memory, when what is there is
// what the sink has.
func (s *session) deleteSlot(ctx context.Context, d slot) {
	r, known := s.readings[d]
	if fresh := known && r.selection == s.selection && time.Since(r.at) < freshFor; !fresh && !s.isStill(ctx, d) {
		return
	}
	if s.err != nil {
		return
	}
	if s.emptied == nil {
		s.emptied = map[slot]time.Time{}
	}
	s.emptied[d] = time.Now()
	delete(s.readings, d)
	_, err := s.ask(ctx, fmt.Sprintf("+CMGD=%d", d.index), deleteAnswer)
	switch {
	case err != nil && !answered(err):
		s.want(s.sweepMems, time.Second)
	case err != nil && !benign(err):
		s.log("the modem refused to delete a message: " + err.Error())
	}
}

// isStill reads a slot once more: the message that the sink has, nothing, or
// another that has come into its place, which is then taken instead.
func (s *session) isStill(ctx context.Context, d slot) bool {
	lines, err := s.ask(ctx, fmt.Sprintf("+CMGR=%d", d.index), readAnswer)
	if s.err != nil || errors.Is(err, errPassive) {
		return false
	}
	e, there := parseRead(lines, d.index)
	if errors.Is(err, at.ErrFailed) && s.listBy < listOneByOne { // it may only list
		var list []stored
		list, err = s.listMemory(ctx)
		i := slices.IndexFunc(list, func(e stored) bool { return e.Index == d.index })
		if there = err == nil && i >= 0; there {
			e = list[i]
		}
	}
	switch {
	case err != nil && !benign(err), err == nil && there && e.Cut && e.PDU != s.deleted[d]:
		s.want(s.sweepMems, 2*time.Second)
		return false
	case err != nil || !there:
		return false
	case !strings.EqualFold(e.PDU, s.deleted[d]):
		s.take(d.mem, e)
		return false
	}
	return true
}
