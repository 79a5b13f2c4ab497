package emulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Faults are all kinds, for those who choose by name.
func Faults() []FaultKind {
	return []FaultKind{
		FaultURC, FaultLostTrailer, FaultLateCMGS, FaultNeverCMGS, FaultLostSubmit, FaultCMSSent, FaultCMSRefused,
		FaultErrorAfterPDU, FaultCMSBeforePrompt, FaultNoPrompt, FaultLatePrompt, FaultDoublePrompt, FaultPromptCR,
		FaultGarbage, FaultPartial, FaultStuckReader, FaultMute, FaultSlow, FaultAnswer, FaultError, FaultLostResult,
		FaultUnplug, FaultReboot, FaultCPINNoOK, FaultCPINBareOK, FaultSIMBusy, FaultCMGL, FaultCMGRBareOK,
		FaultCMTIMinus, FaultLostCMTI, FaultCMTIWrong, FaultStorageLies, FaultDeleteFails, FaultEchoStuck, FaultCDSFirst,
		FaultDuplicateInbound, FaultRegistrationLost, FaultRegistrationDenied,
		FaultLostOctets, FaultDoubledLines, FaultCROnly, FaultLFOnly, FaultOKFirst, FaultGlued, FaultLongLine, FaultNUL,
		FaultBaud, FaultOtherAnswer, FaultEchoBack, FaultDeaf, FaultSpeechless, FaultOtherProgram, FaultFlood,
		FaultSpontaneousError,
		FaultHang, FaultSilentReboot, FaultForgets, FaultSlowBoot, FaultBrownOut, FaultSIMOut, FaultSIMSwap, FaultCall,
		FaultNoSMS, FaultCDSIWrong, FaultCSMPWipes, FaultSwallow, FaultNoInbound,
		FaultNetworkTime, FaultClockUnset,
		FaultLinkBreaks,
	}
}

// ParseFault reads a fault as people write it: its name, and then what the Fault
// has beside it, as in "late +CMGS delay=135s count=2". The keys are on, skip,
// count, delay, code, phase and, last, text, which takes the rest.
func ParseFault(s string) (Fault, error) {
	var f Fault
	if i := strings.Index(s, " text="); i >= 0 {
		f.Text = s[i+len(" text="):]
		s = s[:i]
	}
	words := strings.Fields(s)
	name := len(words)
	for i := len(words) - 1; i >= 0; i-- {
		key, value, ok := strings.Cut(words[i], "=")
		if !ok {
			break
		}
		var err error
		switch strings.ToLower(key) {
		case "on":
			f.On = value
		case "skip":
			f.Skip, err = strconv.Atoi(value)
		case "count":
			f.Count, err = strconv.Atoi(value)
		case "code":
			f.Code, err = strconv.Atoi(value)
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		case "phase":
			f.Phase = Phase(strings.ToLower(value))
			switch f.Phase {
			case PhaseCommand, PhasePrompt, PhasePDU, PhaseAccepted:
			default:
				err = fmt.Errorf("no phase")
			}
		default:
			err = fmt.Errorf("no such key")
		}
		if err != nil {
			return Fault{}, fmt.Errorf("fault %q: %s: %w", s, words[i], err)
		}
		name = i
	}
	want := strings.Join(words[:name], " ")
	for _, k := range Faults() {
		if strings.EqualFold(want, string(k)) {
			f.Kind = k
			return f, nil
		}
	}
	return Fault{}, fmt.Errorf("there is no fault %q", want)
}

// faultCommand is AT+XFAULT, which no real modem has: ="NAME key=value …"
// switches a fault on, =0 clears all, =? lists the names. It is heard whatever
// state the modem is in.
func (s *session) faultCommand(line string) {
	arg, set := strings.CutPrefix(line, "=")
	switch {
	case arg == "?":
		for _, k := range Faults() {
			s.answer = append(s.answer, fmt.Sprintf("+XFAULT: %q", k))
		}
	case set && arg == "0":
		s.m.ClearFaults()
	case set:
		f, err := ParseFault(strings.Trim(arg, `"`))
		if err != nil {
			s.answer = nil
			s.send([]byte("\r\nERROR\r\n"), time.Now())
			return
		}
		s.m.Inject(f)
	default:
		s.send([]byte("\r\nERROR\r\n"), time.Now())
		return
	}
	v := verbosity{verbose: true}
	s.send([]byte(v.information(s.answer)+v.result(nil)), time.Now())
	s.answer = nil
}
