package modem

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func leftoverSession() *session {
	s := &session{m: New(Config{Name: "x", Sink: &box{}}), taken: map[slot]bool{}, deleted: map[slot]string{}, mem: "ME"}
	s.planChores()
	return s
}

// TestAnotherSIMWhileMessagesAreKept: what lies in the modem's memory and is with
// the keeper is not read again for the new SIM, but deleted when it is stored and
// read again when it is not; what was on the SIM went with it.
func TestAnotherSIMWhileMessagesAreKept(t *testing.T) {
	s := leftoverSession()
	me, sim, failed, waits := slot{"ME", 1}, slot{"SM", 1}, slot{"ME", 2}, slot{"ME", 3}
	for _, at := range []slot{me, sim, failed, waits} {
		s.take(at.mem, stored{Index: at.index, PDU: "00"})
	}
	old := s.epoch
	s.wasKept(kept{from: s, slot: waits, epoch: old, ok: true})
	require.Equal(t, []slot{waits}, s.deletes)
	s.changeSIM()
	s.changeSIM() // and another one
	require.Equal(t, []slot{waits}, s.deletes)
	handed := len(s.m.keeper.queue)
	for _, at := range []slot{me, failed, waits} {
		s.take(at.mem, stored{Index: at.index, PDU: "00"})
	}
	require.Len(t, s.m.keeper.queue, handed, "the keeper has them")
	s.wasKept(kept{from: s, slot: sim, epoch: old, ok: true})
	s.wasKept(kept{from: s, slot: failed, epoch: old})
	s.wasKept(kept{from: s, slot: me, epoch: old, ok: true})
	require.Equal(t, []slot{waits, me}, s.deletes, "nothing of the new SIM's")
	s.wasKept(kept{from: s, slot: me, epoch: old, ok: true})
	require.Len(t, s.deletes, 2, "an answer counts once")
	s.take("ME", stored{Index: 2, PDU: "00"})
	require.Len(t, s.m.keeper.queue, handed+1, "what was not stored is read again")
	s.forgetSlots()
	require.Empty(t, s.taken)
	require.Empty(t, s.carried)
}

// TestFreshIsWhatWasAnnouncedToThisSIM and has not been read before.
func TestFreshIsWhatWasAnnouncedToThisSIM(t *testing.T) {
	s := leftoverSession()
	last := func() Received { return s.m.keeper.queue[len(s.m.keeper.queue)-1].r }
	s.noteHint(hint{index: 4})
	s.noteHint(hint{mem: "ME", index: 5})
	s.noteHint(hint{mem: "ME", index: 6})
	s.noteHint(hint{mem: "ME", index: -1})
	s.take("ME", stored{Index: 4, PDU: "00"})
	require.True(t, last().Fresh)
	require.Equal(t, "ME", last().Memory)
	s.take("ME", stored{Index: 5, Stat: 1, PDU: "00"})
	require.False(t, last().Fresh, "announced again: it has been read before")
	s.take("SM", stored{Index: 6, PDU: "00"})
	require.False(t, last().Fresh, "another memory")
	s.changeSIM()
	s.take("ME", stored{Index: 6, PDU: "00"})
	require.False(t, last().Fresh, "announced to the SIM before")
	for i := range 3 * announcedMost {
		s.announce(hint{mem: "ME", index: i})
	}
	require.LessOrEqual(t, len(s.announced), announcedMost)
	s.oneMemory = true
	s.take("SM", stored{Index: 9, PDU: "00"})
	require.Equal(t, "unknown", last().Memory)
}

// TestSIMChangedBeforeTheDeletion: the store is slow, the SIM is another one by
// then. Each message in ME is given to the sink once, and is gone.
func TestSIMChangedBeforeTheDeletion(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10, "ME": 100})
	iccid := "8934071234567890123"
	c.instead = func(cmd string) (string, bool) {
		switch {
		case strings.HasPrefix(cmd, "+CCID"), strings.HasPrefix(cmd, "+ICCID"), strings.HasPrefix(cmd, "+QCCID"):
			return "+CCID: " + iccid + "|OK", true
		}
		return "", false
	}
	withSlowSink(t, c, 20*time.Second, func(l *lifeOf) {
		l.state(StateReady, 10*time.Minute)
		was := l.m.Snapshot().SIM.ICCID
		require.NotEmpty(l.t, was)
		c.put("ME", 0, letter(l.t, "uno"))
		c.say(`+CMTI: "ME",0`)
		l.pass(3 * time.Second) // it is read, the commit goes on
		require.Zero(l.t, len(l.box.texts()))
		c.change(func() { iccid = otherICCID })
		c.say("+CPIN: NOT READY")
		c.say("+CPIN: READY")
		l.until("the other SIM", time.Minute, func() bool { return l.m.Snapshot().SIM.ICCID == otherICCID })
		require.Zero(l.t, len(l.box.texts()), "still on its way")
		l.until("an empty memory", 5*time.Minute, func() bool { return c.left("ME") == 0 })
		l.pass(5 * time.Minute)
		require.Equal(l.t, []string{"uno"}, l.box.texts())
		require.Equal(l.t, was, l.box.received()[0].ICCID)
	})
}
