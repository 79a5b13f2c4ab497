package emulator

import (
	"slices"
	"strings"
	"time"
)

// FaultKind names one misbehaviour of a modem.
type FaultKind string

// The faults. What a kind reads from its Fault beside Count, Skip and On is
// said with it; Delay means how long unless said otherwise.
const (
	// FaultURC puts Text (default +CMTI: "SM",0) into the middle of the answer, as
	// a line of its own after the first Code lines of information text: with 1,
	// between the head of a +CMGL and its PDU.
	FaultURC FaultKind = "urc mid-answer"
	// FaultLostTrailer loses the PDU line of the next +CMT or +CDS.
	FaultLostTrailer FaultKind = "lost trailer"
	// FaultLateCMGS: the network accepts in time, +CMGS comes Delay later.
	FaultLateCMGS FaultKind = "late +CMGS"
	// FaultNeverCMGS: the network accepts, no answer ever comes.
	FaultNeverCMGS FaultKind = "never +CMGS though sent"
	// FaultLostSubmit: nothing is sent and no answer ever comes.
	FaultLostSubmit FaultKind = "never +CMGS, not sent"
	// FaultCMSSent: the network accepts, the answer is +CMS ERROR: Code (500).
	FaultCMSSent FaultKind = "CMS though sent"
	// FaultCMSRefused: not accepted, +CMS ERROR: Code (38) after the PDU.
	FaultCMSRefused FaultKind = "CMS refused"
	// FaultErrorAfterPDU: not accepted, plain ERROR after the PDU.
	FaultErrorAfterPDU FaultKind = "ERROR after PDU"
	// FaultCMSBeforePrompt: +CMS ERROR: Code (302) instead of the prompt.
	FaultCMSBeforePrompt FaultKind = "CMS before prompt"
	// FaultNoPrompt: AT+CMGS is accepted, and neither prompt nor result comes
	// until ESC.
	FaultNoPrompt FaultKind = "no prompt"
	// FaultLatePrompt: the prompt comes Delay late.
	FaultLatePrompt FaultKind = "late prompt"
	// FaultDoublePrompt sends a second prompt when the PDU has come.
	FaultDoublePrompt FaultKind = "double prompt"
	// FaultPromptCR: the prompt is CR > SP, without LF.
	FaultPromptCR FaultKind = "prompt CR"
	// FaultGarbage puts octets that are no line (Text, or a default with NUL,
	// 0xFF and half a URC) before the answer.
	FaultGarbage FaultKind = "garbage"
	// FaultPartial writes the answer octet by octet, Delay (1 ms) apart.
	FaultPartial FaultKind = "partial lines"
	// FaultStuckReader: the modem stops reading for Delay; 0: until the port is
	// closed or ClearFaults. Writes to an in-process port block at once. It
	// begins at once (or when the port is opened); with On, when that command
	// has come, and with On +CMGS when the prompt is out.
	FaultStuckReader FaultKind = "stuck reader"
	// FaultMute: no answer to the command at all. Delay is unused.
	FaultMute FaultKind = "mute"
	// FaultSlow: the answer to the command comes Delay late.
	FaultSlow FaultKind = "late answer"
	// FaultAnswer: the raw Text is the whole answer to the command.
	FaultAnswer FaultKind = "raw answer"
	// FaultError: plain ERROR, or +CMS/+CME ERROR: Code, as answer to On.
	FaultError FaultKind = "error answer"
	// FaultLostResult: the answer comes without its final result.
	FaultLostResult FaultKind = "lost result"
	// FaultUnplug pulls the modem out in Phase of a submission, at once without
	// one, and plugs it in again after Delay; 0: never by itself.
	FaultUnplug FaultKind = "unplug in phase"
	// FaultReboot reboots the modem in Phase of a submission, at once without one.
	FaultReboot FaultKind = "reboot in phase"
	// FaultCPINNoOK: +CPIN: READY comes without OK.
	FaultCPINNoOK FaultKind = "CPIN without OK"
	// FaultCPINBareOK: AT+CPIN? is answered OK without +CPIN.
	FaultCPINBareOK FaultKind = "CPIN bare OK"
	// FaultSIMBusy: SIM commands fail with CME 14, SMS commands with CMS 314.
	FaultSIMBusy FaultKind = "SIM busy"
	// FaultCMGL: AT+CMGL=4 fails with CMS 303; AT+CMGL="ALL" works.
	FaultCMGL FaultKind = "CMGL 303"
	// FaultCMGRBareOK: AT+CMGR answers OK as if the slot were empty.
	FaultCMGRBareOK FaultKind = "CMGR bare OK"
	// FaultCMTIMinus: the message is stored, and announced with index -1.
	FaultCMTIMinus FaultKind = "CMTI index -1"
	// FaultLostCMTI: the message is stored and not announced.
	FaultLostCMTI FaultKind = "lost CMTI"
	// FaultCMTIWrong: the message is stored, and announced in memory Text with
	// index Code.
	FaultCMTIWrong FaultKind = "CMTI wrong memory"
	// FaultStorageLies: AT+CPMS says Code messages used, whatever is there.
	FaultStorageLies FaultKind = "storage lies"
	// FaultDeleteFails: AT+CMGD answers OK and deletes nothing.
	FaultDeleteFails FaultKind = "delete fails"
	// FaultEchoStuck: ATE0 answers OK, and the echo stays.
	FaultEchoStuck FaultKind = "echo stuck on"
	// FaultCDSFirst: the status report comes before +CMGS.
	FaultCDSFirst FaultKind = "CDS before CMGS"
	// FaultDuplicateInbound: the next SMS-DELIVER is delivered twice.
	FaultDuplicateInbound FaultKind = "duplicate inbound"
	// FaultRegistrationLost: not registered, searching, for Delay; 0: until
	// ClearFaults. It begins at once.
	FaultRegistrationLost FaultKind = "registration lost"
	// FaultRegistrationDenied: denied (3) for Delay; 0: until ClearFaults. It
	// begins at once.
	FaultRegistrationDenied FaultKind = "registration denied"
)

// Phase is a moment of a submission, for the faults that need one.
type Phase string

const (
	PhaseCommand  Phase = "command"  // AT+CMGS has come, no prompt yet
	PhasePrompt   Phase = "prompt"   // the prompt is out
	PhasePDU      Phase = "pdu"      // the PDU and Ctrl-Z have come, not accepted
	PhaseAccepted Phase = "accepted" // the network accepted, no answer yet
)

// Fault is one scripted misbehaviour. Faults of a modem are looked at in the
// order of injection; the first that matches acts.
type Fault struct {
	Kind FaultKind
	// On limits a fault that concerns a command to commands that begin with it,
	// without AT: "+CSQ", "+CMGS". Empty: every command that the kind concerns.
	On string
	// Skip lets so many occasions pass first.
	Skip int
	// Count is how often it acts; 0 means once, negative for ever.
	Count int
	Delay time.Duration
	Code  int
	Text  string
	Phase Phase
}

// Inject adds a fault to the modem.
func (m *Modem) Inject(f Fault) {
	if f.Count == 0 {
		f.Count = 1
	}
	if m.atOnce(f) {
		return
	}
	m.mu.Lock()
	sessions := slices.Clone(m.sessions)
	now := f.Kind == FaultStuckReader && f.On == "" && len(sessions) > 0
	if !now {
		m.faults = append(m.faults, &f)
	}
	m.mu.Unlock()
	if now {
		for _, s := range sessions {
			s.stick(f.Delay)
		}
	}
}

// ClearFaults forgets all faults and brings the registration back, and the SIM
// that a fault took out. An unplugged modem stays unplugged.
func (m *Modem) ClearFaults() {
	m.mu.Lock()
	m.faults = nil
	m.turn++
	sessions := slices.Clone(m.sessions)
	m.mu.Unlock()
	m.simBack()
	m.registration(regHome, 0)
	m.wakeUp()
	m.net.poke(m)
	for _, s := range sessions {
		s.unstick()
	}
}

// fault uses up one occasion of a fault of one of the kinds that concerns cmd,
// and returns a copy; ok is false when none is due.
func (m *Modem) fault(cmd string, kinds ...FaultKind) (Fault, bool) {
	return m.faultIn("", cmd, kinds...)
}

// faultIn is fault for the kinds that name a phase.
func (m *Modem) faultIn(phase Phase, cmd string, kinds ...FaultKind) (Fault, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faultLocked(phase, cmd, kinds...)
}

func (m *Modem) faultLocked(phase Phase, cmd string, kinds ...FaultKind) (Fault, bool) {
	for i, f := range m.faults {
		if !concerns(f, phase, cmd, kinds) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Count > 0 {
			f.Count--
		}
		if f.Count == 0 {
			m.faults = append(m.faults[:i:i], m.faults[i+1:]...)
		}
		return *f, true
	}
	return Fault{}, false
}

func concerns(f *Fault, phase Phase, cmd string, kinds []FaultKind) bool {
	if phase != "" && f.Phase != phase {
		return false
	}
	if f.On != "" && !strings.HasPrefix(cmd, strings.ToUpper(f.On)) {
		return false
	}
	for _, k := range kinds {
		if f.Kind == k {
			return true
		}
	}
	return false
}
