package pdu

import (
	"fmt"
	"time"

	"github.com/warthog618/sms/encoding/tpdu"
)

// This file is the network's side of the air: what an emulated network hands to
// its modems.

// DeliverTPDU makes the SMS-DELIVERs (TS 23.040 9.2.2.1) that bring a text from
// a number, or from a name of up to 11 GSM 7-bit characters, without SMSC
// octets. It cuts and encodes as Encode does; Validity and Report mean nothing
// here. scts carries its zone, in quarters of an hour.
//
// Errors are those of Encode.
func DeliverTPDU(from, text string, scts time.Time, o Options) ([][]byte, error) {
	oa, err := marshalSender(from)
	if err != nil {
		return nil, err
	}
	parts, err := encodeParts(text, o)
	if err != nil {
		return nil, err
	}
	// The library cannot make an alphanumeric address with an escape in it, so
	// it is given a stand-in of two octets, which is then replaced.
	template := tpdu.TPDU{
		Direction:  tpdu.MT,
		FirstOctet: tpdu.FirstOctet(tpdu.MtDeliver) | tpdu.FoMMS, // no more messages wait
		OA:         tpdu.Address{TOA: toaUnknown},
		SCTS:       tpdu.Timestamp{Time: scts},
	}
	out := make([][]byte, len(parts))
	for i, part := range parts {
		octets, err := part.marshal(template)
		if err != nil {
			return nil, fmt.Errorf("encode segment %d: %w", i+1, err)
		}
		whole := append([]byte{octets[0]}, oa...)
		out[i] = append(whole, octets[3:]...)
	}
	return out, nil
}

// StatusReportTPDU makes the SMS-STATUS-REPORT (9.2.2.3) of one segment,
// without SMSC octets: mr is the TP-MR of its SUBMIT, ra its recipient, scts
// when the service centre took it, dt when st came true.
//
// Errors: *AddressError.
func StatusReportTPDU(mr uint8, ra string, scts, dt time.Time, st uint8) ([]byte, error) {
	a, err := foreignNumber(ra)
	if err != nil {
		return nil, err
	}
	t := tpdu.TPDU{
		Direction:  tpdu.MT,
		FirstOctet: tpdu.FirstOctet(tpdu.MtCommand) | tpdu.FoMMS,
		MR:         mr,
		RA:         a,
		SCTS:       tpdu.Timestamp{Time: scts},
		DT:         tpdu.Timestamp{Time: dt},
		ST:         st,
	}
	octets, err := t.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode status report: %w", err)
	}
	return octets, nil
}
