package modem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recado/modem/family"
)

// configure sets what sending and receiving need. All of it is volatile: it is
// set again after every restart, reset and change of SIM.
func (s *session) configure(ctx context.Context) error {
	m := s.m
	m.setState(StateConfig, "")
	if err := s.pduMode(ctx); err != nil {
		return err
	}
	if s.skipped = m.isPassive(); !s.skipped {
		if cs := s.family().Charset; cs != "" {
			s.ask(ctx, fmt.Sprintf(`+CSCS="%s"`, cs), shortAnswer)
		}
		s.phase2(ctx)
		s.chooseMemory(ctx)
		if s.loading {
			s.want(s.checkSettings, 15*time.Second)
		}
		s.smsc(ctx)
		s.notices(ctx)
	}
	for _, domain := range []string{"+CREG", "+CGREG", "+CEREG"} {
		if _, err := s.ask(ctx, domain+"=2", shortAnswer); err != nil && !errors.Is(err, errUnanswered) {
			s.ask(ctx, domain+"=1", shortAnswer)
		}
	}
	s.ask(ctx, "+COPS=3,0", shortAnswer) // operators by name
	s.ask(ctx, "+CLIP=0", shortAnswer)
	s.regN, s.regDoubts = -1, 0
	s.unswept = !s.skipped // AT+CNMI is set: nothing is lost until then
	return s.err
}

// pduMode leaves the text mode. A modem that refuses AT+CMGF=0 knows only one
// mode, or has no SIM yet; while it says that it is in text mode it can be given
// nothing, and no restart would change that.
func (s *session) pduMode(ctx context.Context) error {
	for try := 1; ; try++ {
		_, err := s.ask(ctx, "+CMGF=0", simAnswer)
		if s.oneMode = err != nil; !s.oneMode || s.err != nil {
			s.toldMode = time.Now()
			return s.err
		}
		lines, err := s.ask(ctx, "+CMGF?", simAnswer)
		mode, told := after(lines, "+CMGF")
		switch {
		case s.err != nil:
			return s.err
		case told && mode == "0", !told && !s.busy(err), !told && try >= 10:
			return nil
		case try >= 10:
			s.m.fault(StateFault, "the modem knows only text mode (AT+CMGF=0 is refused): it cannot be used", nil)
			err = s.wait(ctx, 5*time.Second)
		default:
			err = s.wait(ctx, time.Second)
		}
		if err != nil {
			return err
		}
	}
}

// busy says that the SIM was not ready for a command; else the answer is final.
func (s *session) busy(err error) bool {
	return err != nil && meaningFor(s.family(), err).Class == ClassBusy
}

// phase2 sees to it that the modem acknowledges to the network by itself
// (AT+CSMS=0). Where it insists on 1 we owe it AT+CNMA (TS 27.005 3.4.4).
func (s *session) phase2(ctx context.Context) {
	s.service(ctx, 0)
}

// service chooses the message service (TS 27.005 3.2.1) and notes which one it
// has become.
func (s *session) service(ctx context.Context, n int) {
	s.ask(ctx, fmt.Sprintf("+CSMS=%d", n), simAnswer)
	lines, err := s.ask(ctx, "+CSMS?", simAnswer)
	rest, ok := after(lines, "+CSMS")
	service, isNumber := number(fields(rest), 0)
	s.ack.Store(err == nil && ok && isNumber && service == 1)
}

// chooseMemory decides where received messages are stored: the family's wish,
// else ME when it is bigger than SM and can really be read, else SM.
func (s *session) chooseMemory(ctx context.Context) {
	s.oneMemory, s.none, s.loading, s.settable = false, false, false, 0
	var names []string
	lines, err := s.whenLoaded(ctx, "+CPMS=?")
	if s.err != nil {
		return
	}
	s.loading = s.busy(err)
	if rest, ok := after(lines, "+CPMS"); ok {
		names = parseMemoryNames(rest)
		s.none = strings.Trim(rest, "(), ") == ""
	}
	s.mems = s.mems[:0]
	if s.none {
		s.mem, s.selected, s.settable = "", "", 0
		s.used, s.total, s.staying, s.foreign = 0, 0, 0, 0
		s.m.update(func(n *Snapshot) { n.StorageName, n.StorageUsed, n.StorageTotal = "", 0, 0 })
		s.tellStorage()
		return
	}
	found := map[string]memory{}
	for _, name := range names {
		switch name {
		case "SM", "ME", "SR":
			s.mems = append(s.mems, name)
		case "MT": // both of them; only of use where they are not there by name
			if len(names) == 1 {
				s.mems = append(s.mems, name)
			}
		}
	}
	for _, name := range orElse(s.family().Storages, []string{"ME", "SM", "MT"}) {
		if slices.Contains(s.mems, name) {
			if mem, ok := s.setMemories(ctx, name); ok {
				found[name] = mem
			}
		}
	}
	best := s.best(ctx, found)
	if best == "" {
		// It does not say what it has: stay with what it uses.
		mem := memory{Name: "SM"}
		lines, err := s.ask(ctx, "+CPMS?", memoryAnswer)
		s.oneMemory = true
		if rest, ok := after(lines, "+CPMS"); err == nil && ok {
			if told, ok := parseMemories(rest, ""); ok {
				mem, s.oneMemory = told, false
			}
		}
		s.mems = []string{mem.Name}
		s.useMemory(mem)
		return
	}
	if mem, ok := s.setMemories(ctx, best); ok {
		s.useMemory(mem)
	}
}

// whenLoaded asks until the SIM has loaded; anything else will not get better.
func (s *session) whenLoaded(ctx context.Context, cmd string) (lines []string, err error) {
	for try := range 10 {
		lines, err = s.ask(ctx, cmd, memoryAnswer)
		if s.err != nil || !s.busy(err) || try == 9 {
			break
		}
		if s.wait(ctx, time.Second) != nil {
			return nil, s.err
		}
	}
	return lines, err
}

// orElse is a, or b when a is empty.
func orElse(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

// best picks one of the memories that could be set.
func (s *session) best(ctx context.Context, found map[string]memory) string {
	if len(s.blind) > 0 {
		sighted := maps.Clone(found)
		maps.DeleteFunc(sighted, func(name string, _ memory) bool { return s.blind[name] })
		if len(sighted) > 0 {
			found = sighted
		}
	}
	for _, name := range s.family().Storages {
		if _, ok := found[name]; ok {
			return name
		}
	}
	me, hasME := found["ME"]
	sm, hasSM := found["SM"]
	switch {
	case hasME && hasSM && me.Total > sm.Total && s.readable(ctx, me):
		return "ME"
	case hasSM && sm.Total > 0:
		return "SM"
	case hasME && me.Total > 0:
		return "ME"
	}
	if _, ok := found["MT"]; ok {
		return "MT"
	}
	return ""
}

// readable is the self-test of a memory: what is used must also be listed.
// Some modems offer one that cannot be read.
func (s *session) readable(ctx context.Context, mem memory) bool {
	if mem.Used == 0 {
		return true
	}
	if _, ok := s.setMemories(ctx, mem.Name); !ok {
		return false
	}
	list, err := s.listMemory(ctx)
	return err == nil && len(list) > 0
}

// setMemories sets all three, or as many as the modem lets itself be told.
func (s *session) setMemories(ctx context.Context, name string) (memory, bool) {
	for _, n := range []int{3, 2, 1} {
		lines, err := s.whenLoaded(ctx, setMemory(name, n))
		if rest, ok := after(lines, "+CPMS"); ok {
			if mem, ok := parseMemories(rest, name); ok {
				s.mem, s.settable = name, n
				s.chose(name)
				return mem, true
			}
		}
		if s.err != nil {
			return memory{}, false
		}
		if err == nil { // OK without the numbers
			s.mem, s.settable = name, n
			s.chose(name)
			return memory{Name: name}, true
		}
		if s.loading = s.loading || s.busy(err); s.loading {
			break // no other form of it will do
		}
	}
	return memory{}, false
}

// smsc reads the service centre's number. Without one nothing can be sent.
func (s *session) smsc(ctx context.Context) {
	lines, err := s.ask(ctx, "+CSCA?", simAnswer)
	rest, ok := after(lines, "+CSCA")
	if err != nil || !ok {
		return
	}
	fs := fields(rest)
	n := strings.TrimPrefix(fs[0], "+")
	if strings.Trim(n, "0123456789") != "" || len(n) > 20 {
		return
	}
	if typ, ok := number(fs, 1); n != "" && (fs[0] != n || ok && typ == 145) {
		n = "+" + n
	}
	s.m.update(func(snap *Snapshot) { snap.SIM.SMSC = n })
}

// notices sets AT+CNMI by the ladder: the first setting that gets an OK counts,
// whatever the modem advertises.
func (s *session) notices(ctx context.Context) {
	got, ok := s.climbCNMI(ctx, s.wanted(s.family().CNMI))
	if acked := s.family().Acked; len(acked) > 0 && got.DS == 0 && s.err == nil {
		s.service(ctx, 1)
		if s.ack.Load() {
			if better, taken := s.climbCNMI(ctx, acked); taken {
				got, ok = better, true
			} else if s.err == nil {
				s.service(ctx, 0)
			}
		}
	}
	if s.err == nil {
		s.cnmi, s.cnmiSays = got, ""
		s.noticed(got.DS, !ok)
	}
}

// wanted is the family's ladder as this session climbs it. While the network
// waits for AT+CNMA, reports are better stored, which needs none; and what no
// memory takes must come directly.
func (s *session) wanted(list []family.CNMI) []family.CNMI {
	list = s.flipped(list)
	if s.ack.Load() && s.m.life.flippedTo == 0 {
		list = slices.Clone(list)
		slices.SortStableFunc(list, func(a, b family.CNMI) int { return cmp.Compare(byAck(a.DS), byAck(b.DS)) })
	}
	if s.none {
		var direct []family.CNMI
		for _, c := range list {
			c.MT = 2
			direct = append(direct, c)
		}
		list = append(direct, list...)
	}
	return list
}

// byAck orders the ways of reports: stored, acknowledged, none.
func byAck(ds int) int { return [...]int{0: 2, 1: 1, 2: 0}[ds] }

// climbCNMI tries settings until one gets an OK.
func (s *session) climbCNMI(ctx context.Context, list []family.CNMI) (family.CNMI, bool) {
	for _, c := range list {
		if _, err := s.ask(ctx, cnmiCommand(c), cnmiAnswer); err == nil {
			return c, true
		}
		if s.err != nil {
			break
		}
	}
	return family.CNMI{}, false
}

func cnmiCommand(c family.CNMI) string {
	return fmt.Sprintf("+CNMI=%d,%d,%d,%d,%d", c.Mode, c.MT, c.BM, c.DS, c.BFR)
}

func (s *session) noticed(ds int, none bool) {
	s.noNotices = none
	s.sweepHere.every = sweepEvery
	if none || s.family().Unannounced && !s.hinted {
		s.sweepHere.every = sweepEveryDeaf
	}
	s.m.update(func(n *Snapshot) { n.ReportsBy = ds })
}

// verifySettings looks whether the modem still has what it was told, and tells
// it again when not: some forget it by themselves.
func (s *session) verifySettings(ctx context.Context) {
	if s.ask(ctx, "+CREG?", regAnswer); s.err != nil { // see seeSigns
		return
	}
	if lines, err := s.ask(ctx, "+CMGF?", simAnswer); err == nil {
		if rest, ok := after(lines, "+CMGF"); ok && rest == "1" {
			s.log("the modem fell back to text mode")
			s.ask(ctx, "+CMGF=0", simAnswer)
			s.want(s.sweepHere, 0)
		}
	}
	was := s.none
	if s.verifyMemory(ctx); s.err != nil {
		return
	}
	if s.noNotices || s.none != was {
		s.notices(ctx) // perhaps it takes one now
		return
	}
	s.verifyNotices(ctx)
}

func (s *session) verifyMemory(ctx context.Context) {
	if s.none || s.loading { // perhaps it had not seen its SIM yet
		if s.chooseMemory(ctx); s.err == nil && s.mem != "" {
			s.want(s.sweepMems, 0)
		}
		if s.loading {
			s.want(s.checkSettings, time.Minute)
		}
		return
	}
	lines, err := s.ask(ctx, "+CPMS?", memoryAnswer)
	rest, ok := after(lines, "+CPMS")
	if err != nil || !ok {
		return
	}
	mem, ok := parseMemories(rest, "")
	if !ok {
		return
	}
	if mem.Name != s.mem && s.mem != "" {
		s.log("the modem forgot its SMS memory")
		if again, ok := s.setMemories(ctx, s.mem); ok {
			mem = again
		}
	}
	s.useMemory(mem)
}

// verifyNotices asks for AT+CNMI. A modem that answers the same after it was
// set once more says it in its own way, and is left alone.
func (s *session) verifyNotices(ctx context.Context) {
	says, ok := s.keptNotices(ctx)
	if ok || says == s.cnmiSays {
		return
	}
	s.log("the modem forgot AT+CNMI")
	s.m.note(EntryStorage, "", "the modem forgot AT+CNMI: it is set again", says)
	if s.notices(ctx); s.err != nil {
		return
	}
	s.want(s.sweepHere, 0)
	if says, ok := s.keptNotices(ctx); !ok {
		s.cnmiSays = says
	}
}

// keptNotices says whether AT+CNMI is as it was set; a modem that does not say
// is believed.
func (s *session) keptNotices(ctx context.Context) (says string, ok bool) {
	lines, err := s.ask(ctx, "+CNMI?", cnmiAnswer)
	says, told := after(lines, "+CNMI")
	if err != nil || !told {
		return "", true
	}
	fs := fields(says)
	for i, want := range map[int]int{0: s.cnmi.Mode, 1: s.cnmi.MT, 3: s.cnmi.DS} {
		if is, told := number(fs, i); told && is != want {
			return says, false
		}
	}
	return says, true
}

func (s *session) log(what string) {
	s.m.log.Info(what)
	s.m.update(func(n *Snapshot) { n.LastError = what })
}
