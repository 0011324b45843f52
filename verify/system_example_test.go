package verify_test

import (
	"context"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

// This company stands in for what a system check looks at: package tenant over a
// graph.Client, a cloudlink.Client and a presencebridge.Bridge. Its client secret has
// expired, and all else is in order.
type company struct{}

func (company) SignIn(context.Context) (verify.SignIn, error) {
	return verify.SignIn{}, presence.ErrSecretExpired
}

func (company) Registration(context.Context) (verify.Registration, error) {
	return verify.Registration{}, presence.ErrUnauthorized
}

func (company) GrantedPermissions(context.Context) ([]string, error) {
	return nil, presence.ErrUnauthorized
}

func (company) Permissions() []verify.Permission {
	return []verify.Permission{{Name: "Presence.ReadWrite.All", Purpose: "write presence", Required: true, AdminConsent: true}}
}

func (company) WhoAmI(context.Context) (cloudlink.Identity, error) {
	return cloudlink.Identity{AccountID: "acc-1", Role: "ACCOUNT_ADMIN", Domain: "acc-1.eu.api.mitel.io"}, nil
}

func (company) Account(context.Context) (cloudlink.Account, error) {
	return cloudlink.Account{ID: "acc-1", Name: "Example Company"}, nil
}

func (company) Roster() presence.Roster             { return presence.Roster{} }
func (company) Overflow() []string                  { return nil }
func (company) Direction() presencebridge.Direction { return presencebridge.OneWay }
func (company) Health() []presencebridge.Health {
	return []presencebridge.Health{{Connection: "directory", State: presencebridge.StateHealthy, LastSuccess: time.Now()}}
}

// The checks that are asked for are made with all that they depend on. What only
// follows from a failure is skipped, and has nothing to be done.
func ExampleNewSystemCheck() {
	check, err := verify.NewSystemCheck(
		verify.SystemSources{Entra: company{}, CloudLink: company{}, Bridge: company{}},
		verify.SystemSettings{
			TenantID: "11111111-1111-4111-8111-111111111111", ClientID: "22222222-2222-4222-8222-222222222222",
			Secret: presence.NewSecret("the Value of the client secret"), SecretDescription: "acme", AccountID: "acc-1", Region: "eu",
		}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := check.Run(context.Background(), &verify.RunOptions{Only: []verify.Code{verify.CodeAdminConsent, verify.CodeCloudLinkRegion}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", report.Count(verify.Passed), report.Count(verify.Failed), report.Count(verify.Skipped))
	for _, trouble := range report.Troubles() {
		fmt.Printf("%s: %s\n→ %s (%s)\n", trouble.Name(), trouble.Sentence, trouble.Remedy, trouble.Administrator)
	}
	// Output:
	// 6 passed, 1 failed, 2 skipped
	// entra-secret: The client secret of the feature (description "acme") has expired.
	// → Create a new client secret of the application in Entra, with the name of the integration as its description, and enter its Value in the configuration. (Azure administrator)
}

// Checks lists what can be asked for, to document it or to choose from.
func ExampleChecks() {
	for _, check := range verify.Checks() {
		if check.Area == verify.AreaMiCollab {
			fmt.Printf("%s: %s (%s)\n", check.Code, check.Title, check.Administrator)
		}
	}
	// Output:
	// micollab-address: The MiCollab address is present (CloudLink administrator)
	// micollab-address-private: The MiCollab address is that of its LAN (CloudLink administrator)
	// micollab-reachable: MiCollab can be reached (MiCollab administrator)
	// micollab-password: The MiCollab password is present (CloudLink administrator)
	// micollab-version: The MiCollab release takes Teams presence (MiCollab administrator)
	// micollab-cloudlink-integration: MiCollab's CloudLink integration is on (MiCollab administrator)
	// micollab-teams-integration: MiCollab's Microsoft Teams integration is on (MiCollab administrator)
}
