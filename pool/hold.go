package pool

import (
	"recado/modem"
	"recado/queue"
)

// hold keeps a SIM from sending until its service centre's number changes or
// an operator acts: the messages wait, for it or for another SIM. smsc is the
// number that the modem went by when it was refused; the SIM's row may be behind.
func (p *Pool) hold(key, why, smsc string) {
	p.simMu.Lock()
	if r := p.terms(key); r != nil && r.held == "" {
		r.held, r.heldSMSC = why+"; sending on this SIM is on hold until that changes", smsc
	}
	p.simMu.Unlock()
	for _, l := range p.all() {
		l.sawSMSC() // another one may have been read since
	}
	p.hintAll(key)
}

// held is why a SIM is on hold; "" when it is not.
func (p *Pool) held(key string) string {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	if r := p.terms(key); r != nil {
		return r.held
	}
	return ""
}

// release ends a hold: an operator has acted.
func (p *Pool) release(key string) {
	p.simMu.Lock()
	if r := p.terms(key); r != nil {
		r.held = ""
	}
	p.simMu.Unlock()
	p.hintAll(key)
	p.kick()
}

// sawSMSC ends the hold of the line's SIM when that names another service centre
// than the one that was not good. Only a modem that is ready has been asked for it:
// before, none is named of any SIM.
func (l *line) sawSMSC() {
	l.mu.Lock()
	key, state, smsc := l.key, l.snap.State, l.snap.SIM.SMSC
	l.mu.Unlock()
	if state != modem.StateReady {
		return
	}
	l.p.simMu.Lock()
	defer l.p.simMu.Unlock()
	switch r := l.p.terms(key); {
	case r == nil || r.held == "" || smsc == r.heldSMSC:
	case smsc == "":
		r.heldSMSC = "" // it has lost it: the same one again is a change
	default:
		r.held = ""
	}
}

func (p *Pool) hintAll(key string) {
	for _, l := range p.all() {
		if queue.Contract(l.simKey()) == queue.Contract(key) {
			l.hint()
		}
	}
	p.changed()
}

// alarms in plain words.
var alarms = map[string]string{
	modem.AlarmNoSMSService: "the network has taken none of the last messages though the modem is registered: " +
		"ask the operator whether SMS works on this SIM over 4G (without IMS and CSFB it does not), or lock the modem to 2G or 3G",
}
