package at

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWordsAreNumbers: the texts of AT+CMEE=2 as modems write them.
func TestWordsAreNumbers(t *testing.T) {
	for text, want := range map[string]error{
		"+CMS ERROR: SIM busy":                                                    CMSError(314),
		"+CMS ERROR: (U)SIM BUSY":                                                 CMSError(314),
		"+CMS ERROR: memory full":                                                 CMSError(322),
		"+CMS ERROR: Network timeout":                                             CMSError(332),
		"+CMS ERROR: no network service":                                          CMSError(331),
		"+CMS ERROR: SMSC address unknown":                                        CMSError(330),
		"+CMS ERROR: SIM PIN required":                                            CMSError(311),
		"+CMS ERROR: SIM PIN2 required":                                           CMSError(317),
		"+CMS ERROR: SIM PUK2 necessary":                                          CMSError(318),
		"+CMS ERROR: PH-(U)SIM PIN required":                                      CMSError(312),
		"+CMS ERROR: Unassigned (unallocated) number":                             CMSError(1),
		"+CMS ERROR: Short message transfer rejected":                             CMSError(21),
		"+CMS ERROR: Congestion":                                                  CMSError(42),
		"+CMS ERROR: Requested facility not subscribed":                           CMSError(50),
		"+CMS ERROR: Message not compatible with short message protocol state":    CMSError(98),
		"+CMS ERROR: Information element non-existent or not implemented":         CMSError(99),
		"+CMS ERROR: SM Rejected-Duplicate SM":                                    CMSError(197),
		"+CMS ERROR: TP-VPF not supported":                                        CMSError(198),
		"+CMS ERROR: TP-VP not supported":                                         CMSError(199),
		"+CMS ERROR: Message class not supported":                                 CMSError(145),
		"+CMS ERROR: unknown error":                                               CMSError(500),
		"+CMS ERROR: unknown":                                                     CMSError(500),
		"+CMS ERROR: Incorrect parameters":                                        CMEError(50), // a word of the other
		"+CME ERROR: SIM busy":                                                    CMEError(14),
		"+CME ERROR: SIM failure":                                                 CMEError(13),
		"+CME ERROR: SIM PIN2 required":                                           CMEError(17),
		"+CME ERROR: incorrect password":                                          CMEError(16),
		"+CME ERROR: Network not allowed - emergency calls only":                  CMEError(32),
		"+CME ERROR: network personalisation PIN required":                        CMEError(40),
		"+CME ERROR: Service provider personalization PUK required":               CMEError(45),
		"+CME ERROR: hidden key required":                                         CMEError(48),
		"+CME ERROR: Command implemented but currently disabled":                  CMEError(51),
		"+CME ERROR: Command aborted by user":                                     CMEError(52),
		"+CME ERROR: IMEI not accepted":                                           CMEError(105),
		"+CME ERROR: Illegal ME":                                                  CMEError(106),
		"+CME ERROR: SIM powered down":                                            CMEError(772),
		"+CME ERROR: unknown":                                                     CMEError(100),
		"+CME ERROR: SMSC address unknown":                                        CMSError(330), // a word of the other
		"+CME ERROR: 14":                                                          CMEError(14),
		"+CMS ERROR: the dog ate the SIM":                                         &TextError{CMS: true, Text: "the dog ate the SIM"},
		"+CME ERROR: message waiting indication subscription failure on Tuesdays": &TextError{Text: "message waiting indication subscription failure on Tuesdays"},
	} {
		line, ok := final(text, nil)
		require.True(t, ok, text)
		require.Equal(t, want, codedError(line[len("+CMS ERROR: "):], line[3] == 'S'), text)
	}
}

// TestWordsAreReduced: a text that letters would never give is never found.
func TestWordsAreReduced(t *testing.T) {
	for _, words := range []map[string]int{wordsOfCMS, wordsOfCME} {
		for key := range words {
			require.Equal(t, key, letters(key))
		}
	}
}
