package emulator

import "strconv"

// cmsText and cmeText are the texts of AT+CMEE=2 (TS 27.005 clause 3.2.5, TS
// 27.007 clause 9.2); a number without a text stays a number.
func cmsText(code int) string {
	switch code {
	case 1:
		return "Unassigned (unallocated) number"
	case 8:
		return "Operator determined barring"
	case 10:
		return "Call barred"
	case 21:
		return "Short message transfer rejected"
	case 27:
		return "Destination out of service"
	case 28:
		return "Unidentified subscriber"
	case 29:
		return "Facility rejected"
	case 30:
		return "Unknown subscriber"
	case 38:
		return "Network out of order"
	case 41:
		return "Temporary failure"
	case 42:
		return "Congestion"
	case 47:
		return "Resources unavailable, unspecified"
	case 50:
		return "Requested facility not subscribed"
	case 69:
		return "Requested facility not implemented"
	case 300:
		return "ME failure"
	case 301:
		return "SMS service of ME reserved"
	case 302:
		return "Operation not allowed"
	case 303:
		return "Operation not supported"
	case 304:
		return "Invalid PDU mode parameter"
	case 305:
		return "Invalid text mode parameter"
	case 310:
		return "SIM not inserted"
	case 311:
		return "SIM PIN required"
	case 314:
		return "SIM busy"
	case 316:
		return "SIM PUK required"
	case 320:
		return "Memory failure"
	case 321:
		return "Invalid memory index"
	case 322:
		return "Memory full"
	case 330:
		return "SMSC address unknown"
	case 331:
		return "No network service"
	case 332:
		return "Network timeout"
	case 340:
		return "No +CNMA acknowledgement expected"
	case 500:
		return "Unknown error"
	}
	return strconv.Itoa(code)
}

func cmeText(code int) string {
	switch code {
	case 3:
		return "operation not allowed"
	case 4:
		return "operation not supported"
	case 10:
		return "SIM not inserted"
	case 11:
		return "SIM PIN required"
	case 12:
		return "SIM PUK required"
	case 13:
		return "SIM failure"
	case 14:
		return "SIM busy"
	case 16:
		return "incorrect password"
	case 30:
		return "no network service"
	case 31:
		return "network timeout"
	case 50:
		return "Incorrect parameters"
	case 100:
		return "unknown"
	}
	return strconv.Itoa(code)
}
