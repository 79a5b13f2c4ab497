package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"recado/modem/family"
	"recado/modem/pdu"
)

const (
	// filling and nearlyFull are parts of a hundred of the SMS memory: from the
	// first on it is told, from the second on it is emptied before anything else.
	filling, nearlyFull = 70, 90
	// stubborn is how often a message may come back after its deletion, and how
	// often a memory may count what it does not list, before that is how it is.
	stubborn = 3
	// stillWriting is how long a modem may take to write what it has announced.
	stillWriting = 400 * time.Millisecond
	// stubbornAgain is when the deletion is tried once more after that.
	stubbornAgain = 10 * time.Minute
)

// shelf is what a session knows of its modem's memories, and owes for what came
// without one. The zero value is a session that knows nothing yet.
type shelf struct {
	none     bool            // AT+CPMS=? says that messages can be read from nowhere
	loading  bool            // the SIM was still busy when the memory was chosen
	blind    map[string]bool // memories that count messages and list none
	used     int             // at the last look
	total    int
	listed   int // entries of the last list of the memory in use
	staying  int // those of them that are not ours, or do not go
	unlisted int // looks in a row that counted more than was listed
	listHung int // lists in a row without an answer
	returned map[slot]*returned
	emptied  map[slot]time.Time // when a slot was deleted
	readings map[slot]reading
	// selectedAt is when AT+CPMS last proved what session.selected says, selection
	// counts how often it may have been something else before.
	selectedAt time.Time
	selection  int
	settable   int       // how many memories AT+CPMS sets at once; 0: it cannot be set
	adjacent   bool      // a memory was just selected: no send goes before the next command
	pairing    bool      // a message is looked at and deleted: no send goes in between
	handed     time.Time // when the keeper was given the last one
	doubts     map[slot]doubtful
	// announced are the slots that +CMTI has named since the modem has its SIM.
	announced map[slot]bool
	// carried are slots of the modem's own memory that the keeper got in an epoch
	// before the SIM was changed.
	carried  map[slot]int
	told     string      // the trouble that was told last
	cnmi     family.CNMI // AT+CNMI as it was taken
	cnmiSays string      // the answer to AT+CNMI? that no setting changes

	owed   atomic.Int32 // received PDUs that the network wants AT+CNMA for
	owedAt atomic.Int64 // when the oldest of them came: Unix ns
	acking bool         // AT+CNMA is on its way: nothing goes before it
}

// returned is a message that was deleted and is still there.
type returned struct {
	times int
	again time.Time
}

// doubtful is a PDU that was cut off when it was read.
type doubtful struct {
	pdu   string
	times int
	since time.Time
}

// useMemory notes which memory is in use and how full it is.
func (s *session) useMemory(mem memory) {
	s.mem = mem.Name
	s.chose(mem.Name)
	s.used, s.total = mem.Used, mem.Total
	full := mem.Total > 0 && mem.Used*100 >= mem.Total*nearlyFull
	if full && !s.full {
		s.want(s.sweepHere, 0)
	}
	s.full = full
	s.m.update(func(n *Snapshot) { n.StorageName, n.StorageUsed, n.StorageTotal = mem.Name, mem.Used, mem.Total })
	s.tellStorage()
}

// tellStorage says what is wrong with the SMS memory, and that it is no longer.
func (s *session) tellStorage() {
	kind, says := s.storageTrouble()
	s.m.update(func(n *Snapshot) {
		n.StorageSays, n.StorageForeign = says, s.foreign
		if kind != s.told && kind != "" {
			n.LastError = says
		}
	})
	if kind == s.told {
		return
	}
	s.told = kind
	if kind == "" {
		says = "the SMS memory is in order again"
	}
	s.m.log.Info("SMS memory", "says", says)
	s.m.note(EntryStorage, "", says, "")
}

// storageTrouble names what is worst, and says what to do.
func (s *session) storageTrouble() (kind, says string) {
	part := 0
	if s.total > 0 {
		part = s.used * 100 / s.total
	}
	numbers := fmt.Sprintf("%s (%d of %d)", s.mem, s.used, s.total)
	stuck := 0
	for _, r := range s.returned {
		if r.times >= stubborn {
			stuck++
		}
	}
	blind := slices.Sorted(keysOf(s.blind))
	switch {
	case s.none:
		return "none", "this modem says that messages can be read from nowhere (AT+CPMS=?): its memories are not looked through; use another modem to receive"
	case part >= nearlyFull && s.foreign*2 > s.used:
		return "foreign", fmt.Sprintf("the SMS memory %s is full of others' messages, %d drafts and sent messages of another device: nothing can be received until they are deleted; have them deleted, or delete them with a phone", numbers, s.foreign)
	case stuck > 0:
		return "stuck", fmt.Sprintf("the modem does not delete messages: %d in %s stay; empty its memory with a phone or another modem before it is full", stuck, numbers)
	case s.unlisted > stubborn:
		return "unlisted", fmt.Sprintf("the modem counts messages in the SMS memory %s that it does not list: they cannot be read; put the SIM into another modem to see them", numbers)
	case len(blind) > 0 && s.blind[s.mem]:
		return "blind", fmt.Sprintf("the modem's SMS memory %s cannot be read, and it has no other", s.mem)
	case part >= nearlyFull:
		return "full", fmt.Sprintf("the SMS memory %s is nearly full: it is being emptied", numbers)
	case part >= filling:
		return "filling", fmt.Sprintf("the SMS memory %s is filling up", numbers)
	case len(blind) > 0:
		return "blind", fmt.Sprintf("the modem's SMS memory %s cannot be read: %s is used; what %s still holds is lost to us", strings.Join(blind, ", "), s.mem, strings.Join(blind, ", "))
	}
	return "", ""
}

func keysOf(m map[string]bool) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// usedFalls looks whether the memory got emptier; when there is more in it than
// we know of, it is swept, but not for ever: some modems count what they do not
// list.
func (s *session) usedFalls(ctx context.Context) {
	if s.none {
		return
	}
	lines, err := s.ask(ctx, "+CPMS?", memoryAnswer)
	rest, ok := after(lines, "+CPMS")
	if err != nil || !ok {
		return
	}
	mem, ok := parseMemories(rest, "")
	if !ok || mem.Name != s.mem {
		return
	}
	if mem.Used != s.used {
		s.unlisted = 0 // something came or went
	}
	known := s.staying
	for at := range s.taken {
		if at.mem == s.mem {
			known++
		}
	}
	switch {
	case mem.Used <= known:
		s.unlisted = 0
	case s.unlisted <= stubborn:
		if s.unlisted++; s.unlisted <= stubborn {
			s.want(s.sweepHere, 5*time.Second)
			break
		}
		if s.listed == 0 {
			s.abandon(ctx, mem.Name)
			return
		}
	}
	s.useMemory(mem)
}

// abandon leaves a memory that counts messages and lists none for another, if
// there is one.
func (s *session) abandon(ctx context.Context, mem string) {
	if s.blind == nil {
		s.blind = map[string]bool{}
	}
	s.blind[mem] = true
	s.chooseMemory(ctx)
	if s.err != nil {
		return
	}
	if s.mem != mem {
		s.unlisted = 0
		s.want(s.sweepMems, 0)
	}
	s.tellStorage()
}

// isBack deals with a message that is in the slot where it was deleted: deleted
// again, or known as one that does not go.
func (s *session) isBack(at slot) (again bool) {
	r := s.returned[at]
	if r == nil {
		if s.returned == nil {
			s.returned = map[slot]*returned{}
		}
		r = &returned{}
		s.returned[at] = r
	}
	if r.times >= stubborn && time.Now().Before(r.again) {
		return false
	}
	if r.times++; r.times >= stubborn {
		r.again = time.Now().Add(stubbornAgain)
	}
	return true
}

// gone forgets the returned messages of a memory that are not listed any more.
func (s *session) gone(mem string, list []stored) {
	for at := range s.returned {
		if at.mem == mem && !slices.ContainsFunc(list, func(e stored) bool { return e.Index == at.index }) {
			delete(s.returned, at)
		}
	}
}

// doubt is asked before an entry is taken whose PDU is not as long as announced.
// It gives what is to be taken; ok is false when that is not known yet: it may
// be still being written, or the modem has fallen back to text mode. What stays
// the same is taken as it is. reread: the entry is of a list, and what the list
// lacks a read may have.
func (s *session) doubt(ctx context.Context, mem string, e stored, reread bool) (_ stored, ok bool) {
	if pdu.DecodeHex(e.PDU).Err == nil {
		return e, true // all there: what is wrong is the length
	}
	at := slot{mem, e.Index}
	was := s.doubts[at]
	switch {
	case was.times > stubborn:
		return e, !e.blank() // it will not get better
	case was.pdu == e.PDU && time.Since(was.since) > stillWriting && !e.blank():
		return e, true
	}
	if lines, err := s.ask(ctx, "+CMGF?", simAnswer); err == nil {
		if mode, told := after(lines, "+CMGF"); told && mode == "1" {
			s.log("the modem fell back to text mode")
			s.ask(ctx, "+CMGF=0", simAnswer)
			s.want(s.sweepMems, 0)
			return e, false
		}
	}
	if reread {
		lines, err := s.ask(ctx, fmt.Sprintf("+CMGR=%d", e.Index), readAnswer)
		if again, there := parseRead(lines, e.Index); err == nil && there {
			if !again.Cut || pdu.DecodeHex(again.PDU).Err == nil {
				return again, !again.blank()
			}
		}
		s.want(s.sweepHere, 2*time.Second)
	}
	if s.doubts == nil {
		s.doubts = map[slot]doubtful{}
	}
	s.doubts[at] = doubtful{e.PDU, was.times + 1, time.Now()}
	return e, false
}

// nowhere is for an announced message that is not where it should be: in
// another memory, or in none, because the network keeps it until there is room.
func (s *session) nowhere() {
	if s.err != nil {
		return
	}
	const says = "the modem announced a message and has stored none"
	s.log(says + " where it said")
	s.m.note(EntryStorage, "", says+" where it said: every memory is looked through", "")
	if len(s.mems) > 1 {
		s.want(s.sweepMems, 0)
	}
}

// DeleteForeign deletes the drafts and sent messages that other devices have
// left in the modem's memories and on its SIM; nothing else does. Each is given
// to the sink first, and deleted when that has it. It returns how many there
// are; that they go takes a moment more. ErrNotReady.
func (m *Modem) DeleteForeign(ctx context.Context) (int, error) {
	o := &order{kind: orderForeign}
	if err := m.ask(ctx, o); err != nil {
		return 0, err
	}
	return o.count, nil
}

func (s *session) deleteForeign(ctx context.Context) (n int, err error) {
	switch {
	case !s.serving:
		return 0, ErrNotReady
	case s.m.isPassive():
		return 0, errPassive
	}
	for _, mem := range s.mems {
		s.in(ctx, mem, func() {
			list, listErr := s.listMemory(ctx)
			if listErr != nil {
				err = listErr
			}
			for _, e := range list {
				at := slot{mem, e.Index}
				if !e.foreign() || e.blank() || s.taken[at] {
					continue
				}
				s.hand(at, e)
				n++
			}
		})
	}
	if s.err != nil {
		return n, errors.Join(ErrNotReady, s.err)
	}
	s.want(s.sweepHere, 2*time.Second)
	return n, err
}
