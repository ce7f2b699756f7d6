/** The room of alerts: rules, silences, what was told. Loaded when somebody enters it. */
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components';
import { useMessages } from '../i18n';
import { navigate, useUrlState } from '../state/url';
import { History } from './History';
import { RuleEditor } from './RuleEditor';
import { RuleList } from './RuleList';
import { SilenceList } from './SilenceList';
import './alerts.css';

export default function AlertsRoom() {
  const t = useMessages();
  const { tab, rule } = useUrlState();
  return (
    <main className="alerts">
      {rule !== null ? (
        <RuleEditor key={rule} name={rule} onClose={() => navigate({ rule: null, tab: 'rules' })} />
      ) : (
        <Tabs
          className="alerts-tabs"
          selectedKey={tab}
          onSelectionChange={(key) => navigate({ tab: String(key) }, { replace: true })}
        >
          <TabList aria-label={t.alerts} className="tablist">
            <Tab id="rules">{t.alertRules}</Tab>
            <Tab id="silences">{t.alertSilences}</Tab>
            <Tab id="history">{t.alertHistory}</Tab>
          </TabList>
          <TabPanel id="rules">
            <RuleList />
          </TabPanel>
          <TabPanel id="silences">
            <SilenceList />
          </TabPanel>
          <TabPanel id="history">
            <History />
          </TabPanel>
        </Tabs>
      )}
    </main>
  );
}
