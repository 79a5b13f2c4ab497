package pdu

import "errors"

// Encode turns a text into the SMS-SUBMITs that carry it.
func Encode(to, text string, o Options) ([]Segment, error) { return nil, errors.New("not built yet") }

// Count measures a text exactly as Encode encodes it.
func Count(text string, o Options) Measure { return Measure{} }
