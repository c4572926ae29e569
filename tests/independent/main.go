// Command independent checks grants and evidence bundles of Countersign. It shares no code with it:
// hashes and curves are Go's, JWS is go-jose's, the Avro reader is its own.
//
//	independent bundle DIR...                 one line of JSON for each bundle
//	independent grants SCHEMAS KEYS GATES     one line of JSON for each line of GATES
//
// A line of GATES is {"now": seconds, "value": base64 of a ToolGateEvent}. It does not judge again:
// the rules are Countersign's alone. README.md, readable/ and directories/ of a bundle are bound by
// the manifest and not looked at otherwise.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type answer struct {
	Of    string `json:"of"`
	Good  bool   `json:"good"`
	Fault string `json:"fault"`
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: independent bundle DIR... | grants SCHEMAS KEYS GATES"))
	}
	var answers []answer
	var err error
	switch os.Args[1] {
	case "bundle":
		for _, dir := range os.Args[2:] {
			answers = append(answers, said(dir, checkBundle(dir)))
		}
	case "grants":
		answers, err = grantsIn(os.Args[2], os.Args[3], os.Args[4])
	default:
		err = fmt.Errorf("no such command: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	for _, one := range answers {
		if err := encoder.Encode(one); err != nil {
			fail(err)
		}
	}
}

func said(of string, err error) answer {
	if err != nil {
		return answer{of, false, err.Error()}
	}
	return answer{of, true, ""}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
