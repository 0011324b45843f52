package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/presencebridge/presencebridge/verify"
)

func ExampleReport_WriteText() {
	report := &verify.Report{Kind: verify.ReportKind, Version: verify.ReportVersion, Complete: true, Results: []verify.Result{
		{Code: verify.CodeEntraReachable, Area: verify.AreaEntra, Title: "The login service answers", Status: verify.Passed},
		{
			Code: verify.CodeEntraTenant, Area: verify.AreaEntra, Title: "The tenant id is accepted", Status: verify.Failed,
			Sentence: "There is no tenant with this id.", Remedy: "Correct the tenant id.", Administrator: verify.Operator,
			Evidence: []verify.Evidence{{Name: "answer", Value: "AADSTS90002"}},
		},
	}}
	if err := report.WriteText(os.Stdout, nil); err != nil {
		fmt.Println(err)
	}
	// Output:
	// System check, one-way, 0001-01-01 00:00:00 UTC, in 0s
	// 1 failed, 1 passed.
	//
	// Microsoft Entra
	//   passed  The login service answers (entra-reachable)
	//   FAILED  The tenant id is accepted (entra-tenant)
	//           There is no tenant with this id.
	//           → Correct the tenant id. (operator of the service)
	//           - answer: AADSTS90002
	//
	// What is to be done, failures first
	//
	//   By the operator of the service:
	//    1. Correct the tenant id. (entra-tenant)
	//
	// Then run the check again.
}

// An embedding service mounts the handler behind its own authentication.
func ExampleNewHandler() {
	var system *verify.SystemCheck // of NewSystemCheck
	var administratorsOnly func(http.Handler) http.Handler
	mount := func(mux *http.ServeMux) error {
		h, err := verify.NewHandler(system, nil, nil)
		if err != nil {
			return err
		}
		mux.Handle("/admin/verify/", administratorsOnly(http.StripPrefix("/admin/verify", h)))
		return nil
	}
	_ = mount
}

// The program of an administrator makes one check of a running bridge again.
func ExampleClient_Run() {
	again := func(ctx context.Context, signedIn *http.Client) error {
		client, err := verify.NewClient("https://bridge.example.com/admin/verify", signedIn)
		if err != nil {
			return err
		}
		report, err := client.Run(ctx, &verify.RunOptions{
			Only: []verify.Code{verify.CodeEntraSecret},
			Progress: func(p verify.Progress) {
				fmt.Printf("%d of %d: %s %s\n", p.Done, p.Total, p.Result.Name(), p.Result.Status)
			},
		})
		if err != nil {
			return err
		}
		return report.WriteText(os.Stdout, nil)
	}
	_ = again
}
