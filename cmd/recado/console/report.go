package console

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is what the doctor found: GET /control/doctor?lang=es. Its texts are in
// the language that was asked for.
type Report struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	Host    string    `json:"host"`
	// Running is how the daemon is: Answers, Silent, Closed or Stopped.
	Running string `json:"running"`
	PID     int    `json:"pid,omitempty"` // of the daemon, 0 unknown
	// Status is the worst of the blocks': OK, Warn or Fail.
	Status string  `json:"status"`
	Blocks []Block `json:"blocks"`
}

// How the daemon is.
const (
	Answers = "answers"
	Silent  = "silent"  // it runs and does not answer
	Closed  = "closed"  // it may not be asked by this user
	Stopped = "stopped" // none runs on the data
)

// Status of a Block and of a Report.
const (
	OK   = "ok"
	Warn = "warn"
	Fail = "fail"
)

// Block is one thing that was looked at: the program, a port, a USB device.
type Block struct {
	Name     string    `json:"name"`
	About    string    `json:"about,omitempty"` // what is known of it, in one line
	Status   string    `json:"status"`
	Findings []Finding `json:"findings"`
}

// Finding is what is the matter with it, and what to do.
type Finding struct {
	Code     string            `json:"code"`
	Severity string            `json:"severity"` // fail, warn, info
	Subject  string            `json:"subject"`
	Name     string            `json:"name,omitempty"`
	Says     string            `json:"says"`
	Do       string            `json:"do,omitempty"`
	Facts    map[string]string `json:"facts,omitempty"`
}

// Settle sets the status of the blocks and of the whole from the findings.
func (r *Report) Settle() {
	r.Status = OK
	for i := range r.Blocks {
		b := &r.Blocks[i]
		b.Status = OK
		for _, f := range b.Findings {
			b.Status = worse(b.Status, f.Severity)
		}
		r.Status = worse(r.Status, b.Status)
		if b.Findings == nil {
			b.Findings = []Finding{}
		}
	}
}

func worse(a, b string) string {
	rank := map[string]int{Warn: 1, Fail: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Count is how many findings there are of a severity.
func (r Report) Count(severity string) int {
	n := 0
	for _, b := range r.Blocks {
		for _, f := range b.Findings {
			if f.Severity == severity {
				n++
			}
		}
	}
	return n
}

// Write prints the report, a block for each thing, within the width.
func (r Report) Write(w io.Writer, language string, width int) error {
	say := func(key string, values ...any) string { return fmt.Sprintf(words[key].in(language), values...) }
	var b strings.Builder
	b.WriteString(say("title", r.Version, r.Host) + ", " + r.At.Local().Format(time.DateTime) + "\n")
	switch fails, warns := r.Count(Fail), r.Count(Warn); {
	case fails+warns == 0:
		b.WriteString(say("d.well") + "\n")
	default:
		b.WriteString(say("d.counts", fails, warns) + "\n")
	}
	names := 0
	for _, block := range r.Blocks {
		names = max(names, min(utf8.RuneCountInString(block.Name), 24))
	}
	const mark = 6 // "fail  "
	for _, block := range r.Blocks {
		b.WriteString("\n")
		head := pad(block.Status, mark) + pad(block.Name, names)
		if block.About != "" {
			head += "  " + block.About
		}
		wrap(&b, head, mark+names+2, width)
		for _, f := range block.Findings {
			wrap(&b, strings.Repeat(" ", mark)+pad(f.Severity, mark)+f.Says, 2*mark, width)
			if f.Do != "" {
				wrap(&b, strings.Repeat(" ", 2*mark)+"-> "+f.Do, 2*mark+3, width)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap writes a line within a width, what does not fit on further ones that
// begin at the indentation. A word that is longer than a line is left whole.
func wrap(b *strings.Builder, text string, indent, width int) {
	for utf8.RuneCountInString(text) > width {
		runes := []rune(text)
		cut := -1
		for i := width; i > indent; i-- {
			if runes[i] == ' ' {
				cut = i
				break
			}
		}
		if cut < 0 {
			for i := width; i < len(runes); i++ {
				if runes[i] == ' ' {
					cut = i
					break
				}
			}
		}
		if cut < 0 {
			break
		}
		b.WriteString(strings.TrimRight(string(runes[:cut]), " ") + "\n")
		text = strings.Repeat(" ", indent) + strings.TrimLeft(string(runes[cut:]), " ")
	}
	b.WriteString(strings.TrimRight(text, " ") + "\n")
}

// ASCII is the text as the oldest terminals can show it.
func ASCII(text string) string { return ascii(text) }

// doctor shows what is wrong and what to do.
func (s *session) doctor([]string) error {
	language := English
	if strings.HasPrefix(s.language, Spanish) {
		language = Spanish
	}
	r, err := get[Report](s, "/control/doctor?lang="+language)
	if err != nil {
		return err
	}
	return r.Write(s.out, language, s.o.Width-1)
}
