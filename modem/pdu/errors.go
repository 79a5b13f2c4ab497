package pdu

import (
	"errors"
	"fmt"
	"strings"
)

// MaxSegments is how many segments a concatenated message can have: its header
// counts them in one octet (TS 23.040 9.2.3.24.1).
const MaxSegments = 255

// ErrEmpty is returned for a text without a single character.
var ErrEmpty = errors.New("the text is empty")

// AddressError refuses a recipient or sender. Its text shows only the end of
// the number, so that it can be logged.
type AddressError struct {
	Address string
	Reason  string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("number %s: %s", masked(e.Address), e.Reason)
}

// masked keeps the last three characters.
func masked(number string) string {
	r := []rune(number)
	if len(r) <= 3 {
		return "…"
	}
	return "…" + string(r[len(r)-3:])
}

// TooLongError refuses a text that needs more than MaxSegments.
type TooLongError struct {
	Segments int
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the text needs %d segments; a message has at most %d", e.Segments, MaxSegments)
}

// EncodingError refuses a text that does not fit the alphabet asked for.
type EncodingError struct {
	Encoding Encoding
	// Outside are the characters that the alphabet does not have.
	Outside []Outside
}

func (e *EncodingError) Error() string {
	if len(e.Outside) == 0 {
		return "texts are encoded in GSM 7-bit or UCS-2 only"
	}
	var names []string
	for i, o := range e.Outside {
		if i == 10 {
			names = append(names, fmt.Sprintf("and %d more", len(e.Outside)-i))
			break
		}
		names = append(names, fmt.Sprintf("%+q", o.Char))
	}
	return "GSM 7-bit does not have " + strings.Join(names, ", ")
}
