package at

import (
	"slices"
	"strconv"
	"strings"
)

// form is how a command asks (TS 27.007 clause 4).
type form uint8

const (
	formExec form = iota // AT+CSQ, ATE0, AT
	formRead             // AT+CREG?
	formSet              // AT+CREG=2
	formTest             // AT+CREG=?
)

// part is one command of a command line: AT+CREG?;+CSQ has two.
type part struct {
	name string // upper case: "+CREG", "E0", "I"; "" for AT alone
	form form
	// answered counts the information lines that were taken as its answer.
	answered int
}

// parts takes a command line without AT to pieces.
func parts(cmd string) []part {
	var list []part
	quoted, start := false, 0
	for i := 0; i <= len(cmd); i++ {
		if i < len(cmd) && cmd[i] == '"' {
			quoted = !quoted
		}
		if i == len(cmd) || cmd[i] == ';' && !quoted {
			list = append(list, newPart(cmd[start:i]))
			start = i + 1
		}
	}
	return list
}

func newPart(cmd string) part {
	cmd = strings.ToUpper(strings.TrimSpace(cmd))
	i := strings.IndexAny(cmd, "=?")
	switch {
	case i < 0:
		return part{name: cmd}
	case cmd[i] == '?':
		return part{name: cmd[:i], form: formRead}
	case strings.HasPrefix(cmd[i:], "=?"):
		return part{name: cmd[:i], form: formTest}
	}
	return part{name: cmd[:i], form: formSet}
}

// sigils begin the names of extended commands and result codes.
const sigils = "+^#%*$!&_"

// code takes a result code to pieces: "+CSQ: 20,99" is "+CSQ" and "20,99".
// ok is false for lines of another shape; colon says whether one was there.
func code(line string) (name, rest string, colon, ok bool) {
	if len(line) < 2 || !strings.ContainsRune(sigils, rune(line[0])) {
		return "", "", false, false
	}
	i := 1
	for i < len(line) && (line[i] >= 'A' && line[i] <= 'Z' || line[i] == '_' ||
		i > 1 && line[i] >= '0' && line[i] <= '9') {
		i++
	}
	switch {
	case i == 1:
		return "", "", false, false
	case strings.HasPrefix(strings.TrimLeft(line[i:], " \t"), ":"): // some write +CMGS : 5
		_, rest, _ = strings.Cut(line[i:], ":")
		return line[:i], strings.TrimSpace(rest), true, true
	case i == len(line) || line[i] == ' ': // ^SYSSTART, +SMS FULL
		return line[:i], strings.TrimSpace(line[i:]), false, true
	}
	return "", "", false, false
}

// words are unsolicited lines that have no sigil.
var words = []string{
	"RING", "RDY", "NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE", "NO DIAL TONE", "CONNECT",
	"CALL READY", "SMS READY", "SMS DONE", "PB DONE", "SIM READY", "READY", "START", "STARTUP",
	"MODEM:STARTUP", "SYSSTART", "POWERED DOWN", "NORMAL POWER DOWN", "UNDER-VOLTAGE WARNNING",
	"UNDER-VOLTAGE WARNING", "OVER-VOLTAGE WARNNING", "OVER-VOLTAGE POWER DOWN", "UNDER-VOLTAGE POWER DOWN",
	"VOICE CALL: BEGIN", "MISSED_CALL", "DST:", "SIM DROP", "SIM REMOVED", "SIM INSERTED",
}

// isWord says whether a line without a sigil is unsolicited by its words.
func isWord(line string) bool {
	upper := strings.ToUpper(line)
	return slices.ContainsFunc(words, func(w string) bool {
		return upper == w || strings.HasPrefix(upper, w+" ") || strings.HasSuffix(w, ":") && strings.HasPrefix(upper, w)
	})
}

// unsolicited are codes that come by themselves, beside those of makers (^, #).
var unsolicited = []string{
	"+CMTI", "+CMT", "+CDSI", "+CDS", "+CBM", "+CBMI", "+CUSD", "+CIEV", "+CRING", "+CLIP", "+COLP", "+CNAP", "+CCWA", "+CMGS",
	"+CSSI", "+CSSU", "+CTZV", "+CTZE", "+CTZR", "+CTZDST", "+NITZ", "+CGEV", "+CNEMIU", "+CNEMS1", "+CPIN", "+CFUN", "+QIND",
	"+QUSIM", "+SIMCARD", "+CALV", "+SIND", "+WIND", "+ZUSIMR", "+ZDONR", "+ZPASR", "+STIN", "+STN", "+PACSP", "+CNSMOD",
}

// unasked says whether a line that belongs to no command of ours is the answer
// to somebody's command: another program has the port open, or it is ours in
// other octets.
func unasked(line string) bool {
	name, rest, colon, coded := code(line)
	switch {
	case !coded:
		return false
	case !colon, line[0] != '+', slices.Contains(unsolicited, name):
		return false
	}
	switch name {
	case "+CREG", "+CGREG", "+CEREG", "+C5GREG":
		return isRegistrationAnswer(rest)
	}
	return true
}

// iccid are the names under which modems answer for the SIM's number, whichever
// of them was asked.
var iccid = []string{"+CCID", "+ICCID", "+QCCID", "+CICCID", "^ICCID", "#CCID", "!ICCID", "%CCID"}

// owns says whether a line is this command's information; else it came
// unsolicited. Codes that are both an answer and unsolicited are told apart by
// their shape, and each such command is answered once.
func (p *part) owns(line string) bool {
	name, rest, colon, coded := code(line)
	if !coded {
		return p.informs() && !isWord(line)
	}
	if p.name == "+CLAC" || p.name == "&V" {
		return true // lists of codes
	}
	if p.name == "I" {
		return name == "+GCAP"
	}
	if !colon || name != p.name && !(slices.Contains(iccid, name) && slices.Contains(iccid, p.name)) {
		return false
	}
	if p.form == formTest && p.name != "+ZPINPUK" { // ZTE gives the tries left so, bare
		return strings.Contains(rest, "(") // +CREG: (0-2); an unsolicited one has no list
	}
	switch name {
	case "+CREG", "+CGREG", "+CEREG", "+C5GREG":
		return p.form == formRead && p.answered == 0 && isRegistrationAnswer(rest)
	case "+CPIN", "+COPS":
		return p.form == formRead && p.answered == 0
	case "+CSQ", "+CESQ", "^HCSQ", "^RSSI":
		return p.form != formSet && p.answered == 0
	case "+CUSD": // AT+CUSD? gives n; the network's answer to AT+CUSD=1 counts as unsolicited always
		return p.form == formRead && !strings.Contains(rest, ",")
	case "+CLIP", "+COLP", "+CNAP": // AT+CLIP? gives n,m; a call a quoted number
		return p.form == formRead && !strings.HasPrefix(rest, `"`)
	case "+CMTI", "+CMT", "+CDS", "+CDSI", "+CBM", "+CBMI":
		return false
	}
	return true
}

// informs says whether the command answers with lines that have no prefix.
// Basic commands say only OK, but for ATI, AT&V and the S registers.
func (p *part) informs() bool {
	if p.name == "" {
		return false
	}
	switch p.name[0] {
	case 'I', 'S':
		return true
	case '&':
		return p.name == "&V"
	}
	return strings.ContainsRune(sigils, rune(p.name[0]))
}

// isRegistrationAnswer tells +CREG: <n>,<stat>[,…] from the unsolicited
// +CREG: <stat>[,<lac>,<ci>…] (TS 27.007 7.2): the second field is a small
// decimal number without quotes. Some modems write 000,001.
func isRegistrationAnswer(rest string) bool {
	fields := strings.Split(rest, ",")
	if len(fields) < 2 {
		return false
	}
	second := strings.TrimSpace(fields[1])
	stat, err := strconv.ParseUint(second, 10, 8)
	return err == nil && stat <= 11 && len(second) <= 3
}

// trailing says whether a line of the modem's own accord has a PDU line behind
// it in PDU mode (TS 27.005 3.4.1), and how many octets the TPDU in it has; -1
// when that cannot be read. ZTE writes +CDS: ,25.
func trailing(line string) (octets int, ok bool) {
	name, rest, colon, _ := code(line)
	if !colon {
		return 0, false
	}
	fields := strings.Split(rest, ",")
	switch name {
	case "+CMT", "+CDS", "+CBM":
	default:
		return 0, false
	}
	if len(fields) > 2 {
		return 0, false // text mode
	}
	octets, err := strconv.Atoi(strings.TrimSpace(fields[len(fields)-1]))
	if err != nil || octets < 0 {
		octets = -1
	}
	return octets, true
}

// final says whether a line ends a command, and gives it as warthog618's at
// understands it. p is the command in flight, nil when there is none.
func final(line string, p *part) (canonical string, ok bool) {
	upper := strings.ToUpper(line)
	switch {
	case upper == "OK":
		return "OK", true
	case strings.HasPrefix(upper, "+CMS ERROR"), strings.HasPrefix(upper, "+CME ERROR"):
		return upper[:10] + ": " + strings.Trim(line[10:], ": \t"), true
	case upper == "ERROR", strings.HasPrefix(upper, "ERROR:"), strings.HasPrefix(upper, "ERROR "):
		return "ERROR", true
	case strings.HasPrefix(upper, "COMMAND NOT SUPPORT"), strings.HasPrefix(upper, "TOO MANY PARAMETERS"),
		strings.HasPrefix(upper, "MODEM ERROR"):
		return "ERROR", true
	}
	if p == nil {
		return "", false
	}
	switch {
	case upper == "NA":
		return "ERROR", true
	case p.name != "" && strings.ContainsRune("DAOH", rune(p.name[0])):
		switch upper {
		case "NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE", "NO DIAL TONE":
			return "ERROR", true
		}
	case !p.informs() && upper == "0": // ATV0, until our ATV1
		return "OK", true
	case !p.informs() && upper == "4":
		return "ERROR", true
	}
	return "", false
}
