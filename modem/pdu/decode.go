package pdu

import "errors"

var errUnbuilt = errors.New("not built yet")

// Decode reads a PDU as +CMGR, +CMGL, +CMT and +CDS give it: SMSC octets first.
func Decode(raw []byte) Received { return Received{Raw: raw, Err: errUnbuilt} }

// DecodeHex reads the line of hex digits.
func DecodeHex(line string) Received { return Received{Err: errUnbuilt} }

// DecodeTPDU reads a TPDU without SMSC octets.
func DecodeTPDU(tpdu []byte, dir Direction) Received { return Received{Raw: tpdu, Err: errUnbuilt} }

// DecodeSubmit reads the SMS-SUBMIT that a modem is given.
func DecodeSubmit(tpdu []byte) Received { return DecodeTPDU(tpdu, MO) }

// JoinText joins the segments of one message, in order.
func JoinText(parts []Received) string { return "" }
