package pdu

import (
	"errors"
	"time"
)

// DeliverTPDU makes the SMS-DELIVERs that bring a text from a number or a name.
func DeliverTPDU(from, text string, scts time.Time, o Options) ([][]byte, error) {
	return nil, errors.New("not built yet")
}

// StatusReportTPDU makes the SMS-STATUS-REPORT of one segment.
func StatusReportTPDU(mr uint8, ra string, scts, dt time.Time, st uint8) ([]byte, error) {
	return nil, errors.New("not built yet")
}

// WithSMSC puts the service centre's address before a TPDU, as +CMGR gives it;
// "" is none.
func WithSMSC(sca string, tpdu []byte) ([]byte, error) { return nil, errors.New("not built yet") }
