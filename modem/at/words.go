package at

import "strings"

// letters reduces an error's text to what makes of modems agree on: lower-case
// letters, and the digit that tells the second PIN and PUK from the first. The
// U of USIM goes, and so does the "required" or "necessary" after a lock.
func letters(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r == '2' {
			b.WriteRune(r)
		}
	}
	key := strings.ReplaceAll(b.String(), "usim", "sim")
	key = strings.ReplaceAll(key, "personalisation", "personalization")
	for _, end := range []string{"required", "necessary"} {
		if cut, ok := strings.CutSuffix(key, end); ok && (strings.HasSuffix(cut, "pin") || strings.HasSuffix(cut, "puk") || strings.HasSuffix(cut, "2")) {
			key = cut
		}
	}
	return key
}

// wordsOfCMS are the texts of AT+CMEE=2 for +CMS ERROR (TS 27.005 3.2.5, TS
// 24.011 E.2, TS 23.040 9.2.3.22), as letters leaves them.
var wordsOfCMS = map[string]int{
	// RP causes
	"unassignednumber": 1, "unassignedunallocatednumber": 1, "operatordeterminedbarring": 8, "callbarred": 10,
	"callsbarred": 10, "networkfailure": 17, "shortmessagetransferrejected": 21, "smtransferrejected": 21,
	"memorycapacityexceeded": 22, "destinationoutofservice": 27, "destinationoutoforder": 27, "unidentifiedsubscriber": 28,
	"facilityrejected": 29, "unknownsubscriber": 30, "networkoutoforder": 38, "temporaryfailure": 41, "congestion": 42,
	"resourcesunavailable": 47, "resourcesunavailableunspecified": 47, "requestedfacilitynotsubscribed": 50,
	"facilitynotsubscribed": 50, "requestedfacilitynotimplemented": 69, "facilitynotimplemented": 69,
	"invalidshortmessagetransferreferencevalue": 81, "invalidtransferreferencevalue": 81, "invalidmessageunspecified": 95,
	"semanticallyincorrectmessage": 95, "invalidmandatoryinformation": 96, "messagetypenonexistent": 97,
	"messagetypenonexistentornotimplemented": 97, "messagenotcompatiblewithshortmessageprotocolstate": 98,
	"messagenotcompatiblewithsmprotocolstate": 98, "informationelementnonexistent": 99,
	"informationelementnonexistentornotimplemented": 99, "protocolerror": 111, "protocolerrorunspecified": 111,
	"interworkingunspecified": 127,
	// TP causes
	"telematicinterworkingnotsupported": 128, "shortmessagetypenotsupported": 129,
	"cannotreplaceshortmessage": 130, "unspecifiedtppiderror": 143, "datacodingschemealphabetnotsupported": 144,
	"alphabetnotsupported": 144, "messageclassnotsupported": 145, "unspecifiedtpdcserror": 159,
	"commandcannotbeactioned": 160, "commandcannotbeaccepted": 160, "commandunsupported": 161,
	"unspecifiedtpcommanderror": 175, "tpdunotsupported": 176, "scbusy": 192, "noscsubscription": 193,
	"scsystemfailure": 194, "invalidsmeaddress": 195, "destinationsmebarred": 196, "smrejectedduplicatesm": 197,
	"smrejectedduplicate": 197, "tpvpfnotsupported": 198, "tpvpnotsupported": 199, "simsmsstoragefull": 208,
	"nosmsstoragecapabilityinsim": 209, "errorinms": 210,
	"simapplicationtoolkitbusy": 212, "simdatadownloaderror": 213,
	"unspecifiederrorcause": 255, "unspecifiederror": 255,
	// the modem's own
	"mefailure": 300, "phonefailure": 300, "smsserviceofmereserved": 301, "smsreserved": 301, "operationnotallowed": 302,
	"notallowed": 302, "operationnotsupported": 303, "notsupported": 303, "invalidpdumodeparameter": 304, "invalidpdumode": 304,
	"invalidtextmodeparameter": 305, "invalidtextmode": 305, "simnotinserted": 310, "simpin": 311, "phsimpin": 312,
	"phpin": 312, "simfailure": 313, "simfailed": 313, "simbusy": 314, "simwrong": 315, "simpuk": 316, "simpin2": 317, "simpuk2": 318,
	"memoryfailure": 320, "memoryfailed": 320, "invalidindex": 321, "invalidmemoryindex": 321, "memoryfull": 322,
	"smscaddressunknown": 330, "smscunknown": 330, "nonetworkservice": 331, "nonetwork": 331, "networktimeout": 332,
	"nocnmaacknowledgementexpected": 340, "nocnmaackexpected": 340, "unknownerror": 500, "unknown": 500,
}

// wordsOfCME are those of +CME ERROR (TS 27.007 9.2).
var wordsOfCME = map[string]int{
	"phonefailure": 0, "mefailure": 0, "noconnectiontophone": 1, "noconnection": 1, "phoneadaptorlinkreserved": 2,
	"linkreserved": 2, "operationnotallowed": 3, "notallowed": 3, "operationnotsupported": 4, "notsupported": 4, "phsimpin": 5,
	"phfsimpin": 6, "phfsimpuk": 7, "simnotinserted": 10, "simpin": 11, "simpuk": 12, "simfailure": 13, "simfailed": 13,
	"simbusy": 14, "simwrong": 15, "incorrectpassword": 16, "simpin2": 17, "simpuk2": 18, "memoryfull": 20,
	"invalidindex": 21, "notfound": 22, "memoryfailure": 23, "memoryfailed": 23, "textstringtoolong": 24, "stringtoolong": 24,
	"invalidcharactersintextstring": 25, "invalidchars": 25, "dialstringtoolong": 26,
	"invalidcharactersindialstring": 27, "nonetworkservice": 30, "nonetwork": 30, "networktimeout": 31,
	"networknotallowed": 32, "networknotallowedemergencycallsonly": 32, "networknotallowedemergencycallonly": 32,
	"emergencycallsonly": 32, "emergencyonly": 32, "networkpersonalizationpin": 40, "networkpersonalizationpuk": 41,
	"networkpin": 40, "networkpuk": 41, "networksubsetpersonalizationpin": 42, "networksubsetpersonalizationpuk": 43,
	"networksubsetpin": 42, "networksubsetpuk": 43, "serviceproviderpersonalizationpin": 44,
	"serviceproviderpersonalizationpuk": 45, "servicepin": 44, "servicepuk": 45, "corporatepersonalizationpin": 46,
	"corporatepersonalizationpuk": 47, "corppin": 46, "corppuk": 47, "hiddenkey": 48, "hiddenkeyrequired": 48,
	"eapmethodnotsupported": 49, "incorrectparameters": 50, "incorrectparameter": 50, "invalidparameter": 50, "invalidparameters": 50,
	"commandimplementedbutcurrentlydisabled": 51, "commanddisabled": 51, "commandaborted": 52, "commandabortedbyuser": 52,
	"notattachedtonetworkduetomtfunctionalityrestrictions": 53, "modemnotallowedmtrestrictedtoemergencycallsonly": 54,
	"operationnotallowedbecauseofmtfunctionalityrestrictions":     55,
	"fixeddialnumberonlyallowedcallednumberisnotafixeddialnumber": 56, "fdnonly": 56,
	"temporarilyoutofserviceduetootherusage": 57, "temporarilyoutofservice": 57, "languagealphabetnotsupported": 58,
	"unexpecteddatavalue": 59, "systemfailure": 60, "datamissing": 61, "callbarred": 62,
	"messagewaitingindicationsubscriptionfailure": 63, "unknown": 100, "unknownerror": 100,
	"imsiunknowninhss": 102, "imsiunknowninhlr": 102, "imsiunknowninvlr": 104, "illegalms": 103, "illegalue": 103,
	"imeinotaccepted": 105, "illegalme": 106, "gprsservicesnotallowed": 107, "gprsnotallowed": 107, "epsservicesnotallowed": 107,
	"gprsservicesandnongprsservicesnotallowed": 108, "plmnnotallowed": 111, "locationareanotallowed": 112,
	"locationnotallowed": 112, "trackingareanotallowed": 112, "roamingnotallowedinthislocationarea": 113,
	"roamingnotallowed": 113, "gprsservicesnotallowedinthisplmn": 114, "nosuitablecellsinlocationarea": 115,
	"networkfailure": 117, "congestion": 122, "insufficientresources": 126,
	"temporarilynotallowed": 256, "phonebusy": 258, "devicebusy": 515, "simpowereddown": 772,
}
