import { GraphiQL } from "graphiql";
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import { createRoot } from "react-dom/client";

import { Buyers } from "./buyers.jsx";
import { demo } from "./demo.js";
import { Tabs } from "./editor.jsx";
import { exampleTabs } from "./examples.js";
import { fetcher } from "./fetcher.js";
import "./page.css";
import { UnmarkedLetters } from "./unmarked.jsx";

createRoot(document.getElementById("root")).render(
  <>
    {demo && <Buyers buyers={demo.buyers} />}
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={exampleTabs}
      shouldPersistHeaders={Boolean(demo)}
      defaultEditorToolsVisibility="variables"
      inputValueDeprecation
    >
      <UnmarkedLetters />
      <Tabs />
    </GraphiQL>
  </>,
);
