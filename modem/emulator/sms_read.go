package emulator

import (
	"fmt"
	"strconv"
	"strings"
)

// stats are the states of stored messages in text mode's words.
func stats() []string { return []string{"REC UNREAD", "REC READ", "STO UNSENT", "STO SENT", "ALL"} }

// statOf reads the <stat> of AT+CMGL in either form; ok is false for others.
func statOf(a argument, text, both bool) (int, bool) {
	for i, name := range stats() {
		if strings.EqualFold(a.text, name) && (text || both) {
			return i, true
		}
	}
	n, ok := a.number(0)
	if a.text == "" && text {
		return statUnread, true
	}
	return n, ok && n <= statAll && !text
}

// cmgl lists the messages of mem1 and marks what it lists as read.
func cmgl(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	text := m.state.mode == 1
	if c.verb == test {
		if text {
			s.say(`+CMGL: ("` + strings.Join(stats(), `","`) + `")`)
		} else {
			s.say("+CMGL: (0-4)")
		}
		return nil
	}
	a := arguments(c.args)[0]
	if !a.quoted && !text {
		if _, no := m.faultLocked("", s.cmd, FaultCMGL); no || m.fam.ListWords {
			return cmsError(303)
		}
	}
	want, ok := statOf(a, text, m.fam.CMGLText)
	if !ok {
		return cmsError(305)
	}
	if m.state.mem[0] == m.fam.Blind {
		return nil
	}
	m.storage(m.state.mem[0]).each(func(index int, sl *slot) {
		if want != statAll && sl.stat != want {
			return
		}
		s.sayMessage(fmt.Sprintf("+CMGL: %d,", index), sl)
		if sl.stat == statUnread {
			sl.stat = statRead
		}
	})
	if m.fam.Erased && m.state.mem[0] == "MT" && !text && want == statAll {
		s.say(fmt.Sprintf("+CMGL: %d,0,,%d", m.storage("MT").total(), erasedOctets))
		s.say(strings.Repeat("FF", erasedOctets))
	}
	return nil
}

// erasedOctets is the length of a record of EF_SMS without its status (TS
// 31.102 clause 4.2.25).
const erasedOctets = 175

// sayMessage writes a stored message after the given beginning; the modem's
// lock is held.
func (s *session) sayMessage(head string, sl *slot) {
	m := s.m
	if m.state.mode == 1 {
		line, text := m.textForm(sl.tpdu, strings.HasPrefix(head, "+CMGR"))
		s.say(fmt.Sprintf("%s%q,%s", head, stats()[sl.stat], line))
		if text != "" || !isReport(sl) {
			s.say(text)
		}
		return
	}
	s.say(fmt.Sprintf("%s%d,,%d", head, sl.stat, len(sl.tpdu)))
	s.say(m.withSMSC(sl.tpdu))
}

func isReport(sl *slot) bool { return sl.stat <= statRead && sl.tpdu[0]&mtiMask == 0x02 }

// cmgr reads one message of mem1.
func cmgr(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	index, ok := arguments(c.args)[0].number(-1)
	if c.verb != set || !ok {
		return cmsError(321)
	}
	if _, empty := m.faultLocked("", s.cmd, FaultCMGRBareOK); empty {
		return nil
	}
	sl, valid := m.storage(m.state.mem[0]).at(index)
	if !valid || !sl.visible() || m.state.mem[0] == m.fam.Blind {
		return cmsError(321)
	}
	s.sayMessage("+CMGR: ", sl)
	if sl.stat == statUnread {
		sl.stat = statRead
	}
	return nil
}

// cmgd deletes from mem1: one message, or by its flag those that are read (1),
// sent too (2), unsent too (3), or all (4).
func cmgd(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	st := m.storage(m.state.mem[0])
	if c.verb == test {
		var used []string
		st.each(func(index int, _ *slot) { used = append(used, strconv.Itoa(index)) })
		s.say("+CMGD: (" + strings.Join(used, ",") + "),(0-4)")
		m.mu.Unlock()
		return nil
	}
	a := arguments(c.args)
	index, ok := a[0].number(-1)
	flag := 0
	if len(a) > 1 {
		var okFlag bool
		flag, okFlag = a[1].number(0)
		ok = ok && okFlag
	}
	sl, valid := st.at(index)
	if c.verb != set || !ok || flag > 4 || flag == 0 && !valid {
		m.mu.Unlock()
		return cmsError(321)
	}
	if _, fails := m.faultLocked("", s.cmd, FaultDeleteFails); fails {
		m.mu.Unlock()
		return nil
	}
	if flag == 0 {
		*sl = slot{}
	} else {
		st.each(func(_ int, sl *slot) {
			if goes := [][]int{1: {1}, 2: {1, 3}, 3: {1, 2, 3}, 4: {0, 1, 2, 3}}[flag]; contains(goes, sl.stat) {
				*sl = slot{}
			}
		})
	}
	m.mu.Unlock()
	m.net.after(roomDelay, func() { m.net.poke(m) })
	return nil
}

func contains(v []int, x int) bool {
	for _, y := range v {
		if x == y {
			return true
		}
	}
	return false
}

// cmgw writes a message to mem2.
func cmgw(s *session, c command) error {
	m := s.m
	tpdu, err := s.askTPDU(c)
	if err != nil || tpdu == nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	stat := statUnsent
	a := arguments(c.args)
	if m.state.mode == 1 {
		if len(a) > 2 {
			stat, _ = statOf(a[2], true, true)
		}
	} else if len(a) > 1 {
		stat, _ = a[1].number(statUnsent)
	}
	if stat > statSent {
		return cmsError(302)
	}
	index, ok := m.storage(m.state.mem[1]).put(tpdu, stat)
	if !ok {
		return cmsError(322)
	}
	s.say(fmt.Sprintf("+CMGW: %d", index))
	return nil
}

// cmss sends a message from mem2, as it is or to another recipient.
func cmss(s *session, c command) error {
	m := s.m
	a := arguments(c.args)
	index, ok := a[0].number(-1)
	if c.verb != set || !ok {
		return cmsError(321)
	}
	m.mu.Lock()
	sl, valid := m.storage(m.state.mem[1]).at(index)
	if !valid || sl.tpdu == nil {
		m.mu.Unlock()
		return cmsError(321)
	}
	tpdu := sl.tpdu
	if len(a) > 1 && len(tpdu) > 3 {
		n := 2 + 2 + (int(tpdu[2])+1)/2
		if n > len(tpdu) {
			m.mu.Unlock()
			return cmsError(304)
		}
		tpdu = append(append(append([]byte(nil), tpdu[:2]...), address(m.textFrom(a[1].text))...), tpdu[n:]...)
	}
	m.mu.Unlock()
	mr, scts, err := s.submit(tpdu)
	if err != nil {
		return err
	}
	m.mu.Lock()
	if sl.stat == statUnsent {
		sl.stat = statSent
	}
	m.mu.Unlock()
	s.say(s.reference("+CMSS", mr, scts))
	return nil
}
