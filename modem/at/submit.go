package at

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	warthog "github.com/warthog618/modem/at"
)

// maxTPDU bounds what Submit takes: an SMS-SUBMIT has at most 164 octets (TS
// 23.040 9.2.2.2), an SMS-COMMAND 175.
const maxTPDU = 176

// Submit runs one AT+CMGS in PDU mode: it sends the TPDU, which has no SMSC
// octets, through the SMSC that the SIM names.
//
// gate is called once, after the modem's prompt and before the first octet of
// the PDU; it makes the attempt durable. When it returns an error an ESC is
// sent instead of the PDU. It must return in the end: Close waits for it. The
// PDU and its Ctrl-Z are written once, in one write.
//
// After an error in PhasePDUSent that matches ErrTimeout or ErrNoReference the
// channel only listens, LateResult gives the answer when it comes, and every
// command fails with ErrUnsynced until Resync.
func (c *Channel) Submit(ctx context.Context, tpdu []byte, gate func() error) Submission {
	if len(tpdu) == 0 || len(tpdu) > maxTPDU {
		return Submission{MR: -1, Err: fmt.Errorf("%w: a TPDU of %d octets", ErrInvalid, len(tpdu))}
	}
	if err := c.begin(ctx); err != nil {
		return Submission{MR: -1, Err: err}
	}
	defer c.end()
	body := "00" + strings.ToUpper(hex.EncodeToString(tpdu))
	cmd := fmt.Sprintf("+CMGS=%d", len(tpdu))
	x := &exchange{cmd: cmd, parts: parts(cmd), limit: c.o.PromptTimeout, sms: &submission{body: body, gate: gate}}
	if err := c.line.prepare(x); err != nil {
		return Submission{MR: -1, Err: err}
	}
	stop := context.AfterFunc(ctx, func() { c.line.interrupt(x, context.Cause(ctx)) })
	_, err := c.at.SMSCommand(cmd, body)
	stop()
	if ended := c.line.conclude(x); ended != nil {
		err = ended
	}
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	return x.outcome(modemError(err))
}

// LateResult gives the answer of a submission that Submit gave up on in
// PhasePDUSent, and is closed after it. Resync and the port's end close it
// without one; when nothing is owed it is closed already.
func (c *Channel) LateResult() <-chan Submission {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.line.late == nil {
		return nothingOwed()
	}
	return c.line.late
}

func isCMS(canonical string) bool { return strings.HasPrefix(canonical, "+CMS ERROR") }

// modemFinal is the error of a final result that at never saw.
func modemFinal(canonical string) error {
	text := strings.TrimSpace(canonical[min(len(canonical), len("+CMS ERROR:")):])
	switch {
	case canonical == "OK":
		return nil
	case isCMS(canonical):
		return modemError(warthog.CMSError(text))
	case strings.HasPrefix(canonical, "+CME ERROR"):
		return modemError(warthog.CMEError(text))
	}
	return ErrFailed
}
