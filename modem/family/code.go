package family

import "time"

// Code is what a number of +CMS ERROR or +CME ERROR means to one make: the
// columns of package modem's own tables. The words of Class and Then are those
// of its ErrorClass.
type Code struct {
	// Says is the manual's text; Do is what an operator can do about it.
	Says, Do string
	// Sent holds when the number came after the PDU had left.
	Sent Sent
	// Class is an ErrorClass of package modem: "content", "busy" …
	Class string
	// Wait is the pause before the first retry (0: the class's); Flat: it does
	// not grow.
	Wait time.Duration
	Flat bool
	// Tries bounds the retries (0: the class does), Then is the class after them
	// ("": the message fails), with ThenTries more.
	Tries     int
	Then      string
	ThenTries int
	// SIMs says who tries it again.
	SIMs SIMs
	// Next is what the modem does about it.
	Next Next
}

// SIMs says which SIMs try a refused message again.
type SIMs uint8

const (
	SIMsByClass       SIMs = iota // as the class has it
	SIMsOneOther                  // one other one
	SIMsOtherOperator             // if there is one, another operator's
)

// Next is what a modem has to do about an error of its own.
type Next uint8

const (
	NextNothing  Next = iota
	NextSweep         // read and delete what is stored
	NextRegister      // wait for the network
	NextSetup         // be set up again
	NextSIM           // look at the SIM again
	NextReset         // restart
)

// Sent says what a modem's error leaves of a submission.
type Sent uint8

const (
	// SentUnknown: it may have been sent. The zero value is the safe one.
	SentUnknown Sent = iota
	// SentNot: the modem never tried.
	SentNot
	// SentRefused: the network refused it.
	SentRefused
)

// siemensCodes are the manufacturer's numbers in the Siemens and Cinterion
// manuals, which SIMCom's 2G modules took over. 513 and 514 are left out, here
// and below: other firmware gives them for messages that were on their way.
func siemensCodes() map[int]Code {
	const again = "nothing: it is tried again"
	const report = "report this: the message was not built as it should be"
	return map[int]Code{
		512: {Says: "given up by the user", Class: "unknown"},
		515: {Says: "the modem is busy, or an address has an invalid character", Do: again, Sent: SentNot, Class: "busy", Wait: 10 * time.Second},
		516: {Says: "invalid length", Do: report, Sent: SentNot, Class: "content"},
		517: {Says: "invalid character in the PDU", Do: report, Sent: SentNot, Class: "content"},
		518: {Says: "invalid parameter", Do: report, Sent: SentNot, Class: "content"},
		519: {Says: "invalid length or character", Do: report, Sent: SentNot, Class: "content"},
		520: {Says: "invalid character in the text", Do: report, Sent: SentNot, Class: "content"},
		521: {Says: "a timer ran out", Class: "unknown"},
		522: {Says: "not allowed for the moment", Do: again, Sent: SentNot, Class: "busy", Wait: 5 * time.Second},
		532: {Says: "the SIM is not ready", Do: again, Sent: SentNot, Class: "busy", Wait: 10 * time.Second},
		535: {Says: "the protocol stack is busy", Do: again, Class: "busy", Wait: 5 * time.Second},
		538: {Says: "invalid parameter", Do: report, Sent: SentNot, Class: "content"},
	}
}

// quectelCodes are the manufacturer's numbers in Quectel's manuals.
func quectelCodes() map[int]Code {
	const again = "nothing: it is tried again"
	return map[int]Code{
		512: {Says: "the SIM is not ready", Do: again, Sent: SentNot, Class: "busy", Wait: 10 * time.Second, Next: NextSIM},
		514: {Says: "invalid parameters", Do: "report this: the message was not built as it should be", Sent: SentNot, Class: "content"},
		515: {Says: "the modem's storage failed", Do: again, Sent: SentNot, Class: "storage", Tries: 1, Then: "device", Next: NextSweep},
		517: {Says: "the service mode allows no SMS", Do: "check the modem's network mode (service domain)", Sent: SentNot, Class: "device"},
		529: {Says: "this SIM may not send SMS", Do: "check the SIM's contract and credit, or use another SIM", Sent: SentNot, Class: "sim"},
		531: {Says: "the modem's storage is full", Do: again, Sent: SentNot, Class: "storage", Next: NextSweep},
	}
}
