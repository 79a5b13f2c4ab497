package emulator

import "time"

// The <stat> of a stored message (TS 27.005 clause 3.1).
const (
	statUnread = 0
	statRead   = 1
	statUnsent = 2
	statSent   = 3
	statAll    = 4
)

// slot is one place of a storage; free when tpdu is nil.
type slot struct {
	stat int
	tpdu []byte
	// from is when it is there for the host to see, later than the modem says
	// so with some families.
	from time.Time
}

func (s *slot) visible() bool { return s.tpdu != nil && !time.Now().Before(s.from) }

// store is one message storage: SM, ME or SR.
type store struct {
	name  string
	first int // the index of the first slot
	slots []slot
}

func newStore(name string, first, size int) *store {
	return &store{name: name, first: first, slots: make([]slot, size)}
}

func (s *store) used() int {
	n := 0
	for i := range s.slots {
		if s.slots[i].visible() {
			n++
		}
	}
	return n
}

// put stores a TPDU in the first free slot and gives its index.
func (s *store) put(tpdu []byte, stat int) (index int, ok bool) {
	for i := range s.slots {
		if s.slots[i].tpdu == nil {
			s.slots[i] = slot{stat: stat, tpdu: tpdu}
			return s.first + i, true
		}
	}
	return 0, false
}

// storage is what a <mem> names: one store, or SM and ME as one for MT.
type storage []*store

func (m storage) used() int {
	n := 0
	for _, s := range m {
		n += s.used()
	}
	return n
}

func (m storage) total() int {
	n := 0
	for _, s := range m {
		n += len(s.slots)
	}
	return n
}

// at is the slot of an index; valid is false outside the storage. Indices of
// the second store follow those of the first.
func (m storage) at(index int) (sl *slot, valid bool) {
	if len(m) == 0 {
		return nil, false
	}
	i := index - m[0].first
	for _, s := range m {
		if i >= 0 && i < len(s.slots) {
			return &s.slots[i], true
		}
		i -= len(s.slots)
	}
	return nil, false
}

// each calls f for the used slots in the order of their indices.
func (m storage) each(f func(index int, sl *slot)) {
	if len(m) == 0 {
		return
	}
	index := m[0].first
	for _, s := range m {
		for i := range s.slots {
			if s.slots[i].visible() {
				f(index, &s.slots[i])
			}
			index++
		}
	}
}

func (m storage) put(tpdu []byte, stat int) (index int, ok bool) {
	offset := 0
	for _, s := range m {
		if i, ok := s.put(tpdu, stat); ok {
			return offset + i, true
		}
		offset += len(s.slots)
	}
	return 0, false
}

// Stored is how many messages and reports the modem's storages hold.
func (m *Modem) Stored() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stores["SM"].used() + m.stores["ME"].used() + m.stores["SR"].used()
}
