package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// banner says what box this is and where its pages are.
func (s *session) banner() {
	info, err := get[Info](s, "/control/info")
	if err != nil {
		fmt.Fprintln(s.out, s.say("error", err))
		return
	}
	fmt.Fprintf(s.out, "\n%s\n", s.say("title", info.Version, info.Host))
	for _, a := range info.Addresses {
		fmt.Fprintf(s.out, "%s: %s\n", s.text("open"), a)
	}
	if info.SetupCode != "" {
		fmt.Fprintf(s.out, "%s: %s\n", s.text("setup"), info.SetupCode)
	}
	s.warnings(info)
}

// warnings are what somebody at the box should see first.
func (s *session) warnings(info Info) {
	if s.o.API.Alone() {
		fmt.Fprintln(s.out, s.say("alone"))
		return
	}
	if info.Paused {
		fmt.Fprintln(s.out, s.say("paused"))
	}
	if !info.ClockTrusted {
		fmt.Fprintln(s.out, s.say("clock"))
	}
}

// menu shows the numbered commands in two columns, so that it fits 24 lines.
func (s *session) menu() {
	all := slices.DeleteFunc(commands(), func(c command) bool { return c.typed })
	half := (len(all) + 1) / 2
	width := s.o.Width/2 - 1
	fmt.Fprintln(s.out)
	for i := range half {
		line := s.item(all, i)
		if i+half < len(all) {
			line = pad(line, width) + " " + s.item(all, i+half)
		}
		fmt.Fprintln(s.out, strings.TrimRight(clip(line, s.o.Width), " "))
	}
}

func (s *session) item(all []command, i int) string {
	return fmt.Sprintf("%2d) %s", i+1, s.text(all[i].help))
}

func (s *session) help([]string) error {
	t := table{}
	for i, c := range commands() {
		t.add(fmt.Sprintf("%2d", i+1), strings.TrimPrefix(s.use(c).Error(), s.say("usage", "")), s.text(c.help))
	}
	t.write(s)
	return nil
}

// statusAnswer is what is read of GET /api/v1/status.
type statusAnswer struct {
	Queue map[string]map[string]int `json:"queue"` // unfinished messages: state, then class
	Sent  struct {
		Minute int `json:"last_minute"`
		Hour   int `json:"last_hour"`
		Day    int `json:"last_day"`
	} `json:"sent"`
	LinesReady int `json:"lines_ready"`
	Uncertain  int `json:"uncertain"`
	Storage    struct {
		Free   *int64 `json:"free_bytes"`
		State  string `json:"state"`
		Detail string `json:"detail"`
	} `json:"storage"`
	Clock   clockAnswer `json:"clock"`
	Sending struct {
		SIMs    []string `json:"sims"`
		Classes []string `json:"classes"`
	} `json:"sending"`
}

func (s *session) status([]string) error {
	info, err := get[Info](s, "/control/info")
	if err != nil {
		return err
	}
	status, err := get[statusAnswer](s, "/api/v1/status")
	if err != nil {
		return err
	}
	if s.o.API.Alone() {
		fmt.Fprintln(s.out, s.say("alone"))
	}
	row := func(key string, value any) {
		fmt.Fprintf(s.out, "%s %v\n", pad(s.text(key), 33), value)
	}
	row("l.version", info.Version)
	if !info.Started.IsZero() {
		row("l.since", info.Started.Local().Format(time.DateTime))
		row("l.ready", status.LinesReady)
	}
	row("l.sending", s.choose(info.Paused, "l.stopped", "l.running"))
	if off := slices.Concat(status.Sending.Classes, status.Sending.SIMs); len(off) > 0 {
		row("l.off", strings.Join(off, ", "))
	}
	if n := sum(status.Queue["held"]); n > 0 {
		row("l.held", s.say("held.see", n))
	}
	for _, state := range []string{"scheduled", "queued", "sending"} {
		if n := sum(status.Queue[state]); n > 0 {
			row("l.queue", fmt.Sprintf("%s: %d", s.code(state), n))
		}
	}
	row("l.sent", fmt.Sprintf("%d/%d/%d", status.Sent.Minute, status.Sent.Hour, status.Sent.Day))
	row("l.uncertain", status.Uncertain)
	clock := s.choose(info.ClockTrusted, "l.trusted", "l.untrusted")
	if why := cmp.Or(status.Clock.Source, status.Clock.Reason); why != "" {
		clock += " (" + why + ")"
	}
	row("l.clock", clock)
	if free := status.Storage.Free; free != nil {
		row("l.storage", fmt.Sprintf("%d MB", *free>>20))
	}
	if st := status.Storage; st.State != "" {
		row("l.state.of", strings.TrimSuffix(s.code(st.State)+": "+st.Detail, ": "))
	}
	return nil
}

func (s *session) choose(which bool, yes, no string) string {
	if which {
		return s.text(yes)
	}
	return s.text(no)
}

func sum(counts map[string]int) int {
	total := 0
	for n := range maps.Values(counts) {
		total += n
	}
	return total
}

// lines shows what can send: each SIM that is in a modem.
func (s *session) lines([]string) error {
	all, err := get[list[simRow]](s, "/api/v1/sims?limit=500")
	if err != nil {
		return err
	}
	t := table{}
	t.add(s.text("l.sim"), s.text("l.number"), s.text("l.operator"), s.text("l.signal"), s.text("l.state"), s.text("l.count"))
	for _, sim := range all.Items {
		if sim.Modem == "" {
			continue
		}
		t.add(cmp.Or(sim.Name, tail(sim.ICCID, 8)), sim.Number, sim.Operator, signal(sim), s.code(sim.State), fmt.Sprint(sim.SentTotal))
	}
	t.write(s)
	return nil
}

func (s *session) modems([]string) error {
	all, err := get[list[modemRow]](s, "/api/v1/modems")
	if err != nil {
		return err
	}
	t := table{}
	t.add("", s.text("l.modem"), s.text("l.port"), s.text("l.model"), s.text("l.state"), s.text("l.what"))
	for i, m := range all.Items {
		t.add(fmt.Sprint(i+1), m.ID, m.Port, strings.TrimSpace(m.Model), s.code(m.State), cmp.Or(m.Reason, m.LastError))
	}
	t.write(s)
	return nil
}

func (s *session) modem(args []string) error {
	all, err := get[list[modemRow]](s, "/api/v1/modems")
	if err != nil {
		return err
	}
	id, err := s.modemID(args[0])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all.Items, func(m modemRow) bool { return m.ID == id })
	if i < 0 {
		return fmt.Errorf("modem %q: %s", args[0], s.text("none"))
	}
	m := all.Items[i]
	s.details([][2]string{
		{"id", m.ID}, {"imei", m.IMEI}, {"manufacturer", m.Manufacturer}, {"model", m.Model}, {"firmware", m.Firmware},
		{"family", m.Family}, {"port", m.Port}, {"usb_path", m.USBPath}, {"state", s.code(m.State)},
		{"since", when(m.Since)}, {"sim", m.SIM}, {"reason", m.Reason}, {"last_error", m.LastError},
		{"restarts", fmt.Sprint(m.Restarts)},
	})
	return nil
}

func (s *session) sims([]string) error {
	all, err := get[list[simRow]](s, "/api/v1/sims?limit=500")
	if err != nil {
		return err
	}
	t := table{}
	t.add("", s.text("l.sim"), "ICCID", s.text("l.number"), s.text("l.state"), s.text("l.modem"))
	for i, sim := range all.Items {
		t.add(fmt.Sprint(i+1), sim.Name, sim.ICCID, sim.Number, s.code(sim.State), sim.Modem)
	}
	t.write(s)
	return nil
}

func (s *session) sim(args []string) error {
	path, err := s.simPath(args[0])
	if err != nil {
		return err
	}
	sim, err := get[simRow](s, path)
	if err != nil {
		return err
	}
	s.details([][2]string{
		{"iccid", sim.ICCID}, {"imsi", sim.IMSI}, {"name", sim.Name}, {"number", sim.Number}, {"operator", sim.Operator},
		{"state", s.code(sim.State)}, {"reason", sim.Reason}, {"modem", sim.Modem}, {"signal", signal(sim)},
		{"registration", s.code(sim.Registration)}, {"technology", sim.Technology}, {"smsc", sim.SMSC},
		{"sent_total", fmt.Sprint(sim.SentTotal)}, {"failed_recent", fmt.Sprint(sim.FailedRecent)}, {"last_sent_at", when(sim.LastSentAt)},
	})
	return nil
}

// queue shows how much waits, and the last messages without text and with masked numbers.
func (s *session) queue([]string) error {
	status, err := get[statusAnswer](s, "/api/v1/status")
	if err != nil {
		return err
	}
	t := table{}
	t.add(s.text("l.state"), "otp", "alert", "normal", "bulk")
	for _, state := range slices.Sorted(maps.Keys(status.Queue)) {
		of := status.Queue[state]
		if sum(of) == 0 {
			continue
		}
		t.add(s.code(state), fmt.Sprint(of["otp"]), fmt.Sprint(of["alert"]), fmt.Sprint(of["normal"]), fmt.Sprint(of["bulk"]))
	}
	t.write(s)
	last, err := get[list[messageRow]](s, "/api/v1/messages?limit=10")
	if err != nil {
		return err
	}
	t = table{}
	t.add(s.text("l.time"), s.text("l.id"), s.text("l.to"), s.text("l.class"), s.text("l.state"))
	for _, m := range last.Items {
		t.add(when(m.CreatedAt), m.ID, mask(m.To), m.Class, strings.TrimSpace(s.code(m.State)+" "+s.code(m.Reason)))
	}
	fmt.Fprintln(s.out)
	t.write(s)
	return nil
}

// details prints names and values, without what is empty.
func (s *session) details(rows [][2]string) {
	width := 14
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(s.named(r[0])))
	}
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(s.out, "%s %s\n", pad(s.named(r[0]), width), r[1])
		}
	}
}

func signal(sim simRow) string {
	if sim.Signal.RSSI == nil {
		return "-"
	}
	return fmt.Sprintf("%d dBm", *sim.Signal.RSSI)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("01-02 15:04:05")
}

// mask leaves the last three digits of a number.
func mask(number string) string {
	return strings.Repeat("*", max(0, utf8.RuneCountInString(number)-3)) + tail(number, 3)
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// table is rows of cells; the first is the head.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table within the terminal's width: the last column is cut when need be.
func (t *table) write(s *session) {
	if len(t.rows) < 2 {
		fmt.Fprintln(s.out, s.say("none"))
		return
	}
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(pad(cell, widths[i]))
			line.WriteString("  ")
		}
		text := strings.TrimRight(line.String(), " ")
		// A script gets everything, a terminal what fits.
		if s.in != nil {
			text = clip(text, s.o.Width-1)
		}
		fmt.Fprintln(s.out, text)
	}
}

// pad fills a text with spaces to a width in characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// clip cuts a text to a width in characters.
func clip(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "~"
}
