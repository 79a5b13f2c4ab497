package emulator

import (
	"fmt"
	"strings"
	"time"
)

// Rule says what happens to messages for certain recipients. The first rule
// that matches acts.
type Rule struct {
	// Suffix is how the digits of the recipient end; empty: every recipient.
	Suffix string
	// SIM limits the rule to one sender: an ICCID or a number.
	SIM string
	// Probability is that of acting, 0–1; 0 means always.
	Probability float64
	// Count is how often it acts, 0 without end; PerRecipient counts for each
	// recipient on its own.
	Count        int
	PerRecipient bool
	Effect

	used map[string]int
}

// Effect is what a Rule does.
type Effect struct {
	// CMS is the +CMS ERROR that AT+CMGS gets. Sent: the network accepted
	// nevertheless.
	CMS  int
	Sent bool
	// Silent: AT+CMGS is never answered. With Sent the message is accepted.
	Silent bool
	// Late is added to the latency of the answer, not of the acceptance.
	Late time.Duration
	// ReportFirst sends the report before the answer.
	ReportFirst bool
	// NoReport keeps the report back; else Status are the TP-ST of the reports
	// in order, one after the other (default: 0x00).
	NoReport bool
	Status   []byte
	// ReportLate is added to the ReportDelay.
	ReportLate time.Duration
	// Drain takes all that is left on the sender's SIM.
	Drain bool
	// Reply gives the text that the recipient answers; nil or "": none. From is
	// the answer's sender; the recipient when empty.
	Reply func(text string) string
	From  string
}

// Magic are the rules of the numbers that do something, as the package's
// documentation lists them: the suffix of the digits is 9999 and the code.
func Magic() []Rule {
	m := func(code string, e Effect) Rule { return Rule{Suffix: "9999" + code, Effect: e} }
	always := func(text string) func(string) string { return func(string) string { return text } }
	rules := []Rule{
		m("101", Effect{Status: []byte{0x43}}),
		m("102", Effect{Status: []byte{0x46}}),
		m("103", Effect{NoReport: true}),
		m("104", Effect{Status: []byte{0x22, 0x00}}),
		m("105", Effect{Status: []byte{0x00, 0x00}}),
		m("106", Effect{ReportLate: time.Minute}),
		m("107", Effect{ReportFirst: true}),
		m("108", Effect{Status: []byte{0x01}}),
		m("109", Effect{Status: []byte{0x62}}),
		m("201", Effect{Reply: func(text string) string { return "Recibido: " + text }}),
		m("202", Effect{Reply: always(longReply)}),
		m("203", Effect{Reply: always("¡Muchísimas gracias! Allí estaré mañana 😀")}),
		m("204", Effect{Reply: always("BAJA")}),
		m("205", Effect{Reply: always("Gracias por su mensaje."), From: "Ayto"}),
		m("206", Effect{Reply: always("SI")}),
		m("301", Effect{Silent: true, Sent: true}),
		m("302", Effect{Silent: true}),
		m("303", Effect{Late: 200 * time.Second}),
		m("304", Effect{CMS: 500, Sent: true}),
		m("305", Effect{Late: 30 * time.Second}),
		m("401", Effect{Drain: true}),
	}
	for code := 1; code < 1000; code++ {
		rules = append(rules,
			Rule{Suffix: fmt.Sprintf("9998%03d", code), Effect: Effect{CMS: code}},
			Rule{Suffix: fmt.Sprintf("9997%03d", code), Count: 1, PerRecipient: true, Effect: Effect{CMS: code}})
	}
	return rules
}

var longReply = strings.Repeat("Hola, gracias por avisar; me viene bien la cita y llevo los papeles que dicen. ", 5) +
	"Un saludo."

// AddRule puts a rule before the ones that are there.
func (n *Network) AddRule(r Rule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = append([]*Rule{&r}, n.rules...)
}

// ClearRules forgets every rule, the magic numbers too.
func (n *Network) ClearRules() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = nil
}

// effectLocked finds what becomes of a message from s to da; n.mu is held.
func (n *Network) effectLocked(s *sim, da string) Effect {
	d := digits(da)
	for _, r := range n.rules {
		if !strings.HasSuffix(d, r.Suffix) {
			continue
		}
		if r.SIM != "" && r.SIM != s.iccid && digits(r.SIM) != digits(s.number) {
			continue
		}
		if r.Probability > 0 && n.rand.Float64() >= r.Probability {
			continue
		}
		if r.Count > 0 {
			key := ""
			if r.PerRecipient {
				key = d
			}
			if r.used[key] >= r.Count {
				continue
			}
			if r.used == nil {
				r.used = make(map[string]int)
			}
			r.used[key]++
		}
		return r.Effect
	}
	return Effect{}
}

// digits keeps the digits of a number.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
