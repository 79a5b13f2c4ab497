package modem

import "time"

// What an operator can do, said once.
const (
	doSIM      = "check the SIM's contract and credit, or use another SIM"
	doSMSC     = "check the SMS centre's number of the SIM"
	doNumber   = "check the recipient's number"
	doPIN      = "enter the SIM's PIN"
	doPUK      = "unblock the SIM with its PUK in a phone"
	doSeat     = "check that the SIM sits right in the modem"
	doCoverage = "check the antenna and the coverage"
	doWaits    = "nothing: it is tried again"
	doReport   = "report this: the message was not built as it should be"
	doManual   = "see the modem's manual"
	doUnlock   = "the modem is locked to another operator or SIM: have it unlocked, or use its own SIM"
)

// cmsErrors is +CMS ERROR (TS 27.005 3.2.5): 1–127 are RP causes (TS 24.011
// 8.2.5.4), 128–255 TP causes (TS 23.040 9.2.3.22), 300–511 the modem's own,
// from 512 on the manufacturer's. Classes and verdicts are our judgement of
// many drivers' experience: data, to be corrected by more of it.
//
// Verdicts: the network's own causes are refusals; those which the modem gives
// before it ever tries are NotSent; those which modems were seen to give for
// messages that had gone out are Ambiguous, and so is every number from 512 on
// whose meaning depends on who built the modem.
var cmsErrors = map[int]Meaning{
	1:   {Says: "unassigned number", Do: doNumber, Verdict: Rejected, Class: ClassRecipient},
	8:   {Says: "barred by the operator", Do: doSIM, Verdict: Rejected, Class: ClassSIM},
	10:  {Says: "this SIM may not reach this number", Do: doSIM, Verdict: Rejected, Class: ClassSIM, Tries: 1, Then: ClassRecipient, SIMs: OneOtherSIM},
	17:  {Says: "network failure", Do: doWaits, Verdict: Rejected, Class: ClassNetwork},
	21:  {Says: "the network rejected the message (often credit, spam protection or a wrong SMS centre)", Do: doSIM, Verdict: Rejected, Class: ClassSIM, Tries: 1, Then: ClassRecipient, SIMs: OneOtherSIM},
	22:  {Says: "the network is congested", Do: doWaits, Verdict: Rejected, Class: ClassNetwork},
	27:  {Says: "the recipient's phone is out of order", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Wait: 15 * time.Minute, Flat: true, Tries: 4, Then: ClassRecipient},
	28:  {Says: "the network does not know this SIM's IMSI", Do: doSIM, Verdict: Rejected, Class: ClassSIM},
	29:  {Says: "SMS is refused to this SIM", Do: doSIM, Verdict: Rejected, Class: ClassSIM},
	30:  {Says: "this SIM is not in the operator's register", Do: doSIM, Verdict: Rejected, Class: ClassSIM},
	38:  {Says: "the network is out of order, for a while", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Wait: 10 * time.Minute, SIMs: OtherOperator},
	41:  {Says: "temporary network failure", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Wait: 5 * time.Second},
	42:  {Says: "the network is congested", Do: doWaits, Verdict: Rejected, Class: ClassNetwork},
	47:  {Says: "the network has no resources free", Do: doWaits, Verdict: Rejected, Class: ClassNetwork},
	50:  {Says: "SMS is not in this SIM's contract", Do: doSIM, Verdict: Rejected, Class: ClassSIM},
	69:  {Says: "the network does not offer this", Do: doSMSC, Verdict: Rejected, Class: ClassSIM},
	81:  {Says: "invalid transfer reference", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Tries: 1},
	95:  {Says: "the message does not make sense to the network", Do: doSMSC + " and the recipient's number", Verdict: Rejected, Class: ClassContent},
	96:  {Says: "a mandatory part is invalid", Do: doReport, Verdict: Rejected, Class: ClassContent},
	97:  {Says: "unknown type of message", Do: doReport, Verdict: Rejected, Class: ClassContent},
	98:  {Says: "the message came at the wrong moment", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Tries: 1},
	99:  {Says: "unknown information element", Do: doReport, Verdict: Rejected, Class: ClassContent},
	111: {Says: "protocol error", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Tries: 2, Then: ClassContent},
	127: {Says: "trouble between networks", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Tries: 3, Then: ClassRecipient},
	128: {Says: "telematic interworking is not supported", Do: doReport, Verdict: Rejected, Class: ClassContent},
	129: {Says: "short message type 0 is not supported", Do: doReport, Verdict: Rejected, Class: ClassContent},
	130: {Says: "cannot replace a message", Do: doReport, Verdict: Rejected, Class: ClassContent},
	143: {Says: "the service centre refused the protocol identifier", Do: doReport, Verdict: Rejected, Class: ClassContent},
	144: {Says: "the service centre refused the alphabet", Do: "send it in another encoding", Verdict: Rejected, Class: ClassContent, Tries: 1, Degrade: DegradeAlphabet},
	145: {Says: "the service centre refused the message class", Do: "send it without flash", Verdict: Rejected, Class: ClassContent, Tries: 1, Degrade: DegradeClass},
	159: {Says: "the service centre refused the data coding scheme", Do: "send it in another encoding", Verdict: Rejected, Class: ClassContent},
	160: {Says: "the command cannot be carried out", Do: doReport, Verdict: Rejected, Class: ClassContent},
	161: {Says: "the command is not supported", Do: doReport, Verdict: Rejected, Class: ClassContent},
	175: {Says: "the service centre refused the command", Do: doReport, Verdict: Rejected, Class: ClassContent},
	176: {Says: "the service centre does not support this TPDU", Do: doReport, Verdict: Rejected, Class: ClassContent},
	192: {Says: "the service centre is busy", Do: doWaits, Verdict: Rejected, Class: ClassNetwork},
	193: {Says: "this SIM has no contract with the service centre", Do: doSMSC, Verdict: Rejected, Class: ClassSIM},
	194: {Says: "the service centre's system failed", Do: doWaits, Verdict: Rejected, Class: ClassNetwork},
	195: {Says: "the recipient's address is invalid", Do: doNumber, Verdict: Rejected, Class: ClassRecipient},
	196: {Says: "the recipient is barred for this SIM", Do: doSIM, Verdict: Rejected, Class: ClassSIM, Tries: 1, Then: ClassRecipient, SIMs: OneOtherSIM},
	// TP-RD: the service centre still holds the first copy, so it has it.
	197: {Says: "the service centre already has this message", Verdict: Accepted, Class: ClassNone},
	198: {Says: "the service centre refused the validity period's format", Do: "send it without a validity", Verdict: Rejected, Class: ClassContent, Tries: 1, Degrade: DegradeValidity},
	199: {Says: "the service centre refused the validity period", Do: "send it without a validity", Verdict: Rejected, Class: ClassContent, Tries: 1, Degrade: DegradeValidity},
	208: {Says: "the SIM's SMS storage is full", Do: doWaits, Verdict: Rejected, Class: ClassStorage, after: stepSweep},
	209: {Says: "the SIM has no SMS storage", Do: "use another SIM, or a modem that stores messages itself", Verdict: Rejected, Class: ClassStorage},
	210: {Says: "error in the modem", Do: doWaits, Verdict: Rejected, Class: ClassDevice},
	211: {Says: "the storage is full", Do: doWaits, Verdict: Rejected, Class: ClassStorage, after: stepSweep},
	212: {Says: "the SIM's toolkit is busy", Do: doWaits, Verdict: Rejected, Class: ClassBusy},
	213: {Says: "the SIM refused a data download", Do: doSIM, Verdict: Rejected, Class: ClassSIM},
	255: {Says: "refused without a reason", Do: doWaits, Verdict: Rejected, Class: ClassNetwork, Tries: 2},

	// 300 is also some modems' word for "something went wrong after the radio
	// had it": never sent again without asking.
	300: {Says: "the modem failed", Do: doWaits, Verdict: Ambiguous, Class: ClassDevice},
	301: {Says: "the modem keeps its SMS service for itself", Do: doWaits, Verdict: NotSent, Class: ClassBusy},
	302: {Says: "the modem does not allow it now", Do: "check the PIN and the registration", Verdict: NotSent, Class: ClassDevice, after: stepSIM},
	303: {Says: "the modem does not support it", Do: "use another modem", Verdict: NotSent, Class: ClassDevice},
	304: {Says: "invalid PDU", Do: doReport, Verdict: NotSent, Class: ClassDevice, Tries: 1, Then: ClassContent, after: stepSetup},
	305: {Says: "the modem fell back to text mode", Do: doWaits, Verdict: NotSent, Class: ClassDevice, Tries: 1, Then: ClassContent, after: stepSetup},
	310: {Says: "no SIM", Do: doSeat, Verdict: NotSent, Class: ClassSIM, after: stepSIM},
	311: {Says: "the SIM wants its PIN", Do: doPIN, Verdict: NotSent, Class: ClassSIM, after: stepSIM},
	312: {Says: "the phone lock wants its code", Do: doUnlock, Verdict: NotSent, Class: ClassSIM, after: stepSIM},
	313: {Says: "the SIM failed", Do: doSeat, Verdict: NotSent, Class: ClassSIM, after: stepReset, again: stepSIM},
	314: {Says: "the SIM is busy", Do: doWaits, Verdict: NotSent, Class: ClassBusy},
	315: {Says: "wrong SIM", Do: doUnlock, Verdict: NotSent, Class: ClassSIM, after: stepSIM},
	316: {Says: "the SIM is blocked", Do: doPUK, Verdict: NotSent, Class: ClassSIM, after: stepSIM},
	317: {Says: "the SIM wants its PIN2 (fixed dialling)", Do: doSIM, Verdict: NotSent, Class: ClassSIM},
	318: {Says: "the SIM wants its PUK2 (fixed dialling)", Do: doSIM, Verdict: NotSent, Class: ClassSIM},
	320: {Says: "the storage failed", Do: doWaits, Verdict: NotSent, Class: ClassStorage, Tries: 1, Then: ClassDevice, after: stepSweep, again: stepSetup},
	321: {Says: "no message at this index", Verdict: NotSent, Class: ClassDevice},
	322: {Says: "the storage is full", Do: doWaits, Verdict: NotSent, Class: ClassStorage, after: stepSweep},
	330: {Says: "the SMS centre's number is not known", Do: doSMSC, Verdict: NotSent, Class: ClassSIM, Untouched: true, HoldSIM: true, after: stepSetup},
	331: {Says: "no network", Do: doCoverage, Verdict: NotSent, Class: ClassDevice, Untouched: true, after: stepRegister},
	// Timeouts between modem and network: the message may be through.
	332: {Says: "the network did not answer the modem", Verdict: Ambiguous, Class: ClassUnknown},
	340: {Says: "no acknowledgement was expected", Verdict: NotSent, Class: ClassDevice},
	350: {Says: "the modem's catch-all error", Do: "when it repeats, check whether the operator offers SMS to this modem on 4G", Verdict: Ambiguous, Class: ClassUnknown, Alarm: AlarmNoSMSService},
	500: {Says: "unknown error (seen for messages that were delivered)", Verdict: Ambiguous, Class: ClassUnknown},

	512: {Says: "no connection to the network could be made", Do: doWaits, Verdict: NotSent, Class: ClassNetwork},
	513: {Says: "the connection broke; the acknowledgement may be lost", Verdict: Ambiguous, Class: ClassUnknown},
	514: {Says: "the network is congested", Verdict: Ambiguous, Class: ClassNetwork},
	515: {Says: "the modem is still starting", Do: doWaits, Verdict: Ambiguous, Class: ClassBusy, Wait: 10 * time.Second},
	527: {Says: "the radio is busy", Do: doWaits, Verdict: Ambiguous, Class: ClassBusy},
	528: {Says: "the location update failed", Do: doCoverage, Verdict: Ambiguous, Class: ClassDevice, Untouched: true, after: stepRegister},
	529: {Says: "no network could be chosen", Do: doCoverage, Verdict: Ambiguous, Class: ClassDevice, Untouched: true, after: stepRegister},
	531: {Says: "the SIM may only reach its fixed numbers", Do: doSIM, Verdict: Ambiguous, Class: ClassSIM},
	535: {Says: "the modem is busy", Do: doWaits, Verdict: Ambiguous, Class: ClassBusy, Wait: 5 * time.Second},
	615: {Says: "network failure", Verdict: Ambiguous, Class: ClassNetwork},
	616: {Says: "network failure", Verdict: Ambiguous, Class: ClassNetwork},
}
