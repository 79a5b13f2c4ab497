package pages

import (
	"encoding/binary"
	"math"
)

// varint reads a number of 1 to 9 octets (1.6); n is 0 when it does not end.
func varint(p []byte) (v int64, n int) {
	var u uint64
	for i, b := range p {
		if i == 8 {
			return int64(u<<8 | uint64(b)), 9
		}
		u = u<<7 | uint64(b&0x7f)
		if b < 0x80 {
			return int64(u), i + 1
		}
	}
	return 0, 0
}

// record takes a row apart (2.1); false unless it fits to the octet.
func record(p []byte) (values []any, ok bool) {
	size, n := varint(p)
	if n == 0 || size < int64(n) || size > int64(len(p)) {
		return nil, false
	}
	head, body := p[n:size], p[size:]
	for len(head) > 0 {
		kind, n := varint(head)
		if n == 0 || kind < 0 {
			return nil, false
		}
		head = head[n:]
		v, length, ok := value(kind, body)
		if !ok {
			return nil, false
		}
		values, body = append(values, v), body[length:]
	}
	return values, len(body) == 0
}

// value reads one of a serial type.
func value(kind int64, body []byte) (v any, length int, ok bool) {
	switch {
	case kind >= 12:
		length = int(min((kind-12)/2, mostPayload+1))
	case kind <= 4:
		length = int(kind)
	case kind == 5:
		length = 6
	case kind <= 7:
		length = 8
	}
	if length > len(body) || kind == 10 || kind == 11 {
		return nil, 0, false
	}
	body = body[:length]
	switch {
	case kind == 0:
		return nil, 0, true
	case kind == 7:
		return math.Float64frombits(binary.BigEndian.Uint64(body)), length, true
	case kind == 8 || kind == 9:
		return kind - 8, 0, true
	case kind < 7:
		n := int64(int8(body[0]))
		for _, b := range body[1:] {
			n = n<<8 | int64(b)
		}
		return n, length, true
	case kind%2 == 0:
		return append([]byte{}, body...), length, true
	}
	return string(body), length, true
}
