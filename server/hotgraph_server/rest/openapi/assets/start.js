"use strict";
// The page's own settings; kept in a file because its policy forbids scripts within it.
{
  const { version, expansion } = document.currentScript.dataset;
  window.addEventListener("DOMContentLoaded", () => {
    SwaggerUIBundle({
      url: new URL("openapi.json", document.baseURI).href,
      dom_id: "#docs",
      deepLinking: true,
      docExpansion: expansion,
      defaultModelsExpandDepth: -1,
      defaultModelRendering: "example",
      displayRequestDuration: true,
      filter: true,
      tryItOutEnabled: true,
      // Both would ask, or name, other servers.
      validatorUrl: null,
      queryConfigEnabled: false,
    });
    document.documentElement.dataset.swaggerUi = version;
  });
}
