package modem

import "maps"

// announcedMost bounds what is remembered of announcements: a modem with more
// messages than that to come announces nonsense.
const announcedMost = 1000

// announce notes which slot +CMTI has named.
func (s *session) announce(h hint) {
	if h.index < 0 {
		return
	}
	if s.announced == nil || len(s.announced) >= announcedMost {
		s.announced = map[slot]bool{}
	}
	if h.mem == "" {
		h.mem = s.mem
	}
	s.announced[slot{h.mem, h.index}] = true
}

// stays says that what a memory holds is the modem's and does not go with the
// SIM. MT is both, and its indexes may be others with another SIM.
func (s *session) stays(mem string) bool { return !s.oneMemory && mem != "SM" && mem != "MT" }

// changeSIM is for another SIM: its slots are not those of the one before. What
// lies in the modem's own memory, and is with the keeper or waits for its
// deletion, is neither read again under the new SIM's name nor forgotten; before
// it is deleted its slot is read once more.
func (s *session) changeSIM() {
	taken, deleted, carried := map[slot]bool{}, map[slot]string{}, map[slot]int{}
	for at := range s.taken {
		if !s.stays(at.mem) {
			continue
		}
		taken[at], deleted[at], carried[at] = true, s.deleted[at], s.epoch
		if epoch, before := s.carried[at]; before { // changed twice meanwhile
			carried[at] = epoch
		}
	}
	var deletes []slot
	for _, at := range s.deletes {
		if taken[at] {
			deletes = append(deletes, at)
			delete(carried, at) // the keeper has said its word
		}
	}
	s.forgetSlots()
	maps.Copy(s.taken, taken)
	maps.Copy(s.deleted, deleted)
	s.carried, s.deletes = carried, deletes
	if len(deletes) > 0 {
		s.want(s.delete, 0)
	}
}
