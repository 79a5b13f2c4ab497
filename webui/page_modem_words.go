package webui

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"recado/modem"
	"recado/pool"
)

// phrase is what modem and pool say in English, and the key of the same in the
// reader's language; in the words {{.A}} and {{.B}} stand for its groups.
type phrase struct {
	says *regexp.Regexp
	key  string
}

func says(pattern, key string) phrase { return phrase{regexp.MustCompile(pattern), key} }

// phrases are all that is known, the first that fits counts. A test compares them
// with the sources of package modem.
var phrases = []phrase{
	// Of the SIM and its codes.
	says(`refused the PIN, and is blocked now`, "said.pin_blocked"),
	says(`refused the PIN`, "said.pin_refused"),
	says(`refused the PUK`, "said.puk_refused"),
	says(`has refused this (PIN|PUK) before`, "said.code_before"),
	says(`only (\d+) try is left`, "said.code_last"),
	says(`was sent before, and nobody knows|nobody knows what came of|answer to the (?:PIN|PUK)`, "said.code_unknown"),
	says(`does not say how many tries are left`, "said.code_tries"),
	says(`does not say which SIM it is`, "said.code_which"),
	says(`the SIM does not ask for a (PIN|PUK)`, "said.code_unasked"),
	says(`is being entered just now`, "said.code_busy"),
	says(`was not sent, because`, "said.code_unsent"),
	says(`^the modem took the (PIN|PUK)`, "said.code_taken"),
	says(`^the (PIN|PUK) opened the SIM`, "said.code_opened"),
	says(`^the SIM (\S+) is there`, "said.sim_there"),
	says(`^another SIM: (\S+) in place of (\S+)`, "said.sim_other"),
	says(`^the SIM (\S+) is gone`, "said.sim_gone"),
	says(`the SIM asks for its PUK|the SIM is blocked: enter its PUK`, "said.sim_puk"),
	says(`the SIM wants its PIN`, "said.sim_pin"),
	says(`the SIM stays busy`, "said.sim_busy"),
	says(`the SIM failed`, "said.sim_failed"),
	says(`^no SIM`, "said.sim_none"),
	says(`wrong SIM`, "said.sim_wrong"),
	says(`has switched the SIM off`, "said.sim_off"),
	says(`another port of the same module|already in use on`, "said.twin"),
	says(`other port is gone`, "said.twin_gone"),
	says(`SMS centre's number|service centre's number|sending on this SIM is on hold`, "said.smsc"),

	// Of the network and what is sent.
	says(`the network refuses this SIM|denied the registration`, "said.net_denied"),
	says(`refused this SIM several times`, "said.net_refused"),
	says(`takes no messages from this modem`, "said.net_no_sms"),
	says(`registered again`, "said.net_back"),
	says(`the network was lost`, "said.net_lost"),
	says(`^no network`, "said.net_none"),
	says(`(\d+) submissions in ten minutes lost`, "said.answers_lost"),
	says(`answer to a submission came late`, "said.answer_late"),
	says(`answer to a submission was lost|network's answer to a message`, "said.answer_lost"),
	says(`no answer from the network yet`, "said.answer_owed"),
	says(`status report|delivery report`, "said.answer_proved"),
	says(`have reports come the other way`, "said.reports_flip"),
	says(`outcome of a submission could not be stored`, "said.not_stored"),

	// Of the memory for messages.
	says(`is full of others' messages, (\d+)`, "said.memory_foreign"),
	says(`does not delete messages: (\d+)`, "said.memory_stuck"),
	says(`that it does not list`, "said.memory_unlisted"),
	says(`cannot be read`, "said.memory_blind"),
	says(`can be read from nowhere`, "said.memory_none"),
	says(`\((\d+) of (\d+)\) is nearly full`, "said.memory_full"),
	says(`\((\d+) of (\d+)\) is filling`, "said.memory_filling"),
	says(`SMS memory is in order again`, "said.memory_well"),
	says(`announced a message and has stored none`, "said.memory_nothing"),
	says(`forgot AT\+CNMI`, "said.cnmi"),
	says(`acknowledgement to the network`, "said.ack"),
	says(`what other devices have stored`, "said.order_foreign"),

	// Of USSD.
	says(`the modem takes USSD as`, "said.ussd_as"),
	says(`a USSD request that was given up`, "said.ussd_late"),
	says(`ended the USSD session`, "said.ussd_ended"),
	says(`USSD message that nobody asked for`, "said.ussd_news"),
	says(`^a USSD request failed`, "said.ussd_failed"),
	says(`^a USSD request:`, "said.ussd_asked"),
	says(`the USSD request was refused`, "said.ussd_refused"),
	says(`somebody else has a USSD session`, "said.ussd_taken"),
	says(`another USSD request is waiting`, "said.ussd_busy"),
	says(`no USSD session waits`, "said.ussd_none"),
	says(`the modem had no time for it`, "said.no_time"),
	says(`the SIM is in no modem that is ready`, "said.sim_away"),
	says(`the modem is not ready`, "said.not_ready"),

	// Of its hours.
	says(`^outside the hours in which it may send; they begin on (.+)$`, "said.hours_until"),
	says(`^outside the hours in which it may send`, "said.hours_shut"),
	says(`^the time of day is not certain: in case these are not the hours`, "said.hours_doubt"),

	// Of codes that are not sent.
	says(`it is about call forwarding`, "said.mmi_forward"),
	says(`it is about call barring`, "said.mmi_barring"),
	says(`changes the network's password`, "said.mmi_password"),
	says(`changes or unblocks a PIN`, "said.mmi_pin"),
	says(`it is about call waiting`, "said.mmi_waiting"),
	says(`showing or hiding numbers`, "said.mmi_number"),
	says(`how calls are treated`, "said.mmi_calls"),
	says(`a code has 1 to 30`, "said.ussd_shape"),
	says(`a reply has 1 to`, "said.ussd_reply_shape"),

	// Of the port and the modem.
	says(`the port went away|no such file or directory|no such device`, "said.port_gone"),
	says(`nothing on this port answers AT`, "said.port_silent"),
	says(`no permission for the port`, "said.port_permission"),
	says(`is in use by`, "said.port_busy"),
	says(`only text mode`, "said.text_mode"),
	says(`switched off by an operator|^switch off$`, "said.order_off"),
	says(`^switch on$`, "said.order_on"),
	says(`^restart$`, "said.order_restart"),
	says(`^try AT\+CMMS anew$`, "said.order_link"),
	says(`ordered by an operator|by an operator`, "said.ordered"),
	says(`^a PIN was entered`, "said.order_pin"),
	says(`^a PUK was entered`, "said.order_puk"),
	says(`^cut the power`, "said.order_power"),
	says(`fell silent|does not answer|is mute`, "said.silent"),
	says(`no answer to AT`, "said.no_answer"),
	says(`restarted by itself`, "said.rebooted"),
	says(`waiting for the modem to come back`, "said.coming_back"),
	says(`^restarting \(`, "said.restarting"),
	says(`switching the radio off and on`, "said.radio"),
	says(`the port is opened anew`, "said.reopen"),
}

// hidden are the digits that a history does not tell.
var hidden = regexp.MustCompile(`\*+`)

// said gives a text of modem or pool in the reader's language, to stand within a
// sentence. ok is false for one that nobody has words for: it is then as it is in
// English, and in another language a word that points to the technical details.
func (l *locale) said(raw string) (words string, ok bool) {
	for _, p := range phrases {
		if m := p.says.FindStringSubmatch(raw); m != nil {
			args := []any{"A", "", "B", ""}
			for i, group := range m[1:] {
				if at, err := time.Parse(pool.Moment, group); err == nil {
					group = l.dayOf(at)
				}
				args[2*i+1] = hidden.ReplaceAllString(group, "…")
			}
			return l.t(p.key, args...), true
		}
	}
	if l.code == "en" {
		return strings.TrimSuffix(raw, "."), false
	}
	return l.t("said.unknown"), false
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// historyStates are the states as the history tells them.
var historyStates = map[string]modem.State{
	"not there": modem.StateAbsent, "settling": modem.StateSettling, "opening the port": modem.StateOpening,
	"held by another program": modem.StateLocked, "looking for an answer": modem.StateSync, "identifying": modem.StateIdent,
	"waiting for the SIM": modem.StateSIM, "no usable SIM": modem.StateNoSIM, "the SIM is blocked": modem.StateSIMBlocked,
	"configuring": modem.StateConfig, "looking for the network": modem.StateRegister, "refused by the network": modem.StateSIMDenied,
	"ready": modem.StateReady, "sending": modem.StateSending, "listening for an answer that is owed": modem.StateUnknown,
	"recovering": modem.StateRecover, "out of order": modem.StateFault, "switched off": modem.StateDisabled,
}

// stepEnds are what came of a rung of the ladder, as the history tells it.
var stepEnds = []phrase{
	says(`did not help$`, "history.no_help"),
	says(`in step$|: ready$`, "history.helped"),
	says(`: not taken \(`, "history.not_taken"),
	says(`: refused \(`, "history.step_refused"),
	says(`: failed \(`, "history.step_failed"),
}

// happening is one entry of a modem's history as the page shows it.
type happening struct {
	ID, Tone, Icon, Kind string
	At                   string
	Title, More          string
	// Detail is the evidence as it was written down, in English; "" none.
	Detail string
}

// happening puts an entry of the history into words.
func (v view) happening(e modem.Entry) happening {
	l := v.locale
	h := happening{ID: "h" + e.At.UTC().Format("20060102150405.000000000"), At: v.Full(e.At), Kind: l.t("kind." + string(e.Kind)), Icon: kindIcon(e), Tone: kindTone(e)}
	title, known := "", true
	switch e.Kind {
	case modem.EntryState:
		text, long := strings.CutSuffix(e.Text, ", for long")
		state, is := historyStates[text]
		if title, known = l.t("said.unknown"), is; is {
			title = l.t("modem_state." + string(state))
			h.Tone, h.Icon = tone(state), stateIcon(state)
		}
		if long {
			title = l.t("history.long", "What", title)
			h.Tone = "warn"
		} else if e.Detail != "" && state != modem.StateReady {
			if why, is := l.said(e.Detail); is {
				h.More = why
			}
		}
	case modem.EntryStep:
		title = l.t("step." + e.Step)
		h.More, known = stepMore(l, e)
	default:
		title, known = l.said(e.Text)
		if known && e.Kind == modem.EntryFault && e.Detail != "" {
			if why, is := l.said(e.Detail); is && why != title {
				h.More = why
			}
		}
	}
	h.Title, h.More = sentence(title), sentence(h.More)
	if h.More == "" {
		h.Title = strings.TrimSuffix(h.Title, ".")
	}
	if v.Person == nil || !v.Person.Admin {
		return h
	}
	h.Detail = e.Detail
	if !known || e.Kind == modem.EntryFault || e.Kind == modem.EntryStep || e.Kind == modem.EntryStorage {
		h.Detail = strings.TrimSuffix(e.Text+"\n"+e.Detail, "\n")
	}
	return h
}

// stepMore is what came of a rung, or why it was taken.
func stepMore(l *locale, e modem.Entry) (string, bool) {
	for _, p := range stepEnds {
		if p.says.MatchString(e.Text) {
			return l.t(p.key), true
		}
	}
	_, why, _ := strings.Cut(e.Text, ": ")
	words, known := l.said(why)
	if !known {
		return "", false
	}
	return l.t("history.because", "Why", words), true
}

// kindTone and kindIcon are the look of an entry.
func kindTone(e modem.Entry) string {
	switch e.Kind {
	case modem.EntryFault:
		return "bad"
	case modem.EntryStep, modem.EntrySend:
		return "warn"
	case modem.EntryOrder, modem.EntryUSSD:
		return "info"
	}
	return "idle"
}

func kindIcon(e modem.Entry) string {
	switch e.Kind {
	case modem.EntryFault:
		return "circle-x"
	case modem.EntryStep:
		return "refresh-cw"
	case modem.EntrySIM:
		return "card-sim"
	case modem.EntryNetwork:
		return "radio-tower"
	case modem.EntryStorage:
		return "inbox"
	case modem.EntryUSSD:
		return "hash"
	case modem.EntryOrder:
		return "user"
	case modem.EntrySend:
		return "circle-question-mark"
	}
	return "history"
}
