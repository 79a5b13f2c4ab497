// Package emulator is a set of emulated modems on an emulated network: for the
// demonstration (recado serve --emulate), for training, for other programs
// (recado emulate) and for every test that needs a modem.
//
// A modem speaks AT as 3GPP TS 27.005 and TS 27.007 and ITU-T V.250 describe
// it, with the habits of a family (see Families). It holds a SIM with a
// number; the network knows SIMs by their numbers, so that a message sent to
// the number of another emulated SIM arrives there. What the network accepted
// is written to a ledger at that moment, whether or not the answer was heard:
// the ledger is the truth that tests compare with.
//
// # Numbers that do something
//
// A recipient whose last seven digits are 9999 and a code makes the network
// behave (+34 609 999 101 is undelivered). The codes are the table of Magic.
//
//	9999101  undelivered: report with TP-ST 0x43
//	9999102  expired: report with TP-ST 0x46
//	9999103  accepted, never reported
//	9999104  a temporary report (0x22) first, then delivered
//	9999105  delivered, the report comes twice
//	9999106  delivered, the report comes a minute late
//	9999107  delivered, the report comes before the answer to AT+CMGS
//	9999108  forwarded, not confirmed (0x01)
//	9999109  the service centre gave up for now (0x62)
//	9999201  answers "Recibido: " and the text
//	9999202  answers with a long message (three segments)
//	9999203  answers in UCS-2, with accents and an emoji
//	9999204  answers "BAJA"
//	9999205  answers from the alphanumeric sender "Ayto"
//	9999206  answers "SI"
//	9999301  sent, and AT+CMGS is never answered
//	9999302  not sent, and AT+CMGS is never answered
//	9999303  sent, and AT+CMGS is answered 200 s late
//	9999304  sent, and answered +CMS ERROR: 500
//	9999305  sent, and AT+CMGS is answered 30 s late
//	9999401  takes all that is left on the sender's SIM, which is refused from then
//	         on (+CMS ERROR: 21) until *140# tops it up
//	9998nnn  refused with +CMS ERROR: nnn (9998038: network out of order)
//	9997nnn  the first try refused with +CMS ERROR: nnn, later ones pass
//
// Everyone else gets the message and, when asked, a report of delivery.
//
// # USSD
//
// The network answers these codes; each modem writes the answers as its family
// does. A question that gets no reply is given up after two minutes.
//
//	*111# *123# *134#  the balance (Movistar: *133#, Vodafone, Digi: *134#, Orange,
//	       Yoigo: *111#, Lycamobile: *221#), each in words like the operator's
//	*140#  tops the SIM up by 10 €
//	*133#  the own number (Movistar: *135#)
//	*100#  a menu over two levels, which wants replies
//	*101#  several lines, with letters that are not ASCII
//	*102#  UCS-2
//	*103#  UCS-2 with a language in front
//	*104#  never answered
//	*105#  the network ends it with a text
//	*106#  +CUSD: 2 first, the text a second later
//	*107#  not supported (4)
//	*108#  answered after 20 s
//	*109#  refused with +CME ERROR: 257
//	*110#  lines that look like OK, +CMTI and ERROR
//	*112#  answered after 45 s
//	*113#  quotes within the text
//	*114#  +CUSD: 2 and nothing else; *115#: 3, *116#: 5
//	*117#  a question that the network takes back after 10 s
//	*118#  a text of digits only
//	*#06#  the IMEI
//
// Other codes are unknown to it.
//
// # Modems that misbehave
//
// Every fault has a name (Faults). Tests give it to Modem.Inject; other programs
// switch it on through the modem's port, by a command that no real modem has:
//
//	AT+XFAULT="late +CMGS delay=135s count=2"   on (see ParseFault)
//	AT+XFAULT=0                                 all off
//	AT+XFAULT=?                                 the names
//
// It is heard whatever the modem does otherwise. A modem that is on a
// pseudo-terminal and on TCP takes it on one while the other is in use. recado
// emulate --fault gives a fault to every modem from the start.
//
// # What happens by itself and what does not
//
// Nothing polls: an idle modem costs no CPU. Waits are computed from deadlines
// and do not add up their errors. All waiting is by channels and timers, so
// that a network and its in-process ports run inside a testing/synctest bubble.
package emulator
